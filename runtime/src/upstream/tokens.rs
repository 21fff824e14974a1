//! Keeps the OAuth 2 token of one upstream: asked for once however many calls wait for it, renewed before it expires, thrown away when
//! the upstream refuses it. The token is kept in memory only.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::time::Instant;
use tracing::warn;

use super::credentials::Credentials;
use super::exchange::{Bounds, HttpClient, exchange};
use super::faults::Mischief;
use super::oauth::{Granted, OAuth, granted};
use super::settings::Timeouts;
use crate::domain::{CallFault, CallFaultKind, Secret, Timestamp, UpstreamName};

/// What a token endpoint answers is far smaller.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A renewal that failed while the token is still good is tried again after this long.
const QUIET_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A token, as calls carry it.
pub(super) struct Token {
    pub(super) credentials: Credentials,
    /// From here on a new one is asked for; this one is still good.
    renew_at: Instant,
    expires_at: Instant,
}

/// The tokens of one upstream. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tokens(Arc<Keeper>);

struct Keeper {
    oauth: OAuth,
    upstream: UpstreamName,
    endpoint: Endpoint,
    state: Arc<Mutex<State>>,
}

/// The way to the token endpoint.
pub(super) struct Endpoint {
    pub(super) client: HttpClient,
    pub(super) timeouts: Timeouts,
    /// How the operator would allow a private address.
    pub(super) allow: String,
    /// What goes wrong there on purpose, as at the upstream itself.
    pub(super) mischief: Option<Arc<Mischief>>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Token>>,
    /// The one request for a token that is under way.
    asking: Option<Asking>,
    /// Given in place of the configured refresh token.
    refresh_token: Option<Secret>,
    quiet_until: Option<Instant>,
}

type Asking = Shared<Pin<Box<dyn Future<Output = Result<Arc<Token>, CallFault>> + Send>>>;

impl Tokens {
    /// `before`: those by the same credentials, which attempts that have begun still use. They are the same ones: a refresh token that is
    /// replaced is good once.
    pub(super) fn new(oauth: OAuth, upstream: UpstreamName, endpoint: Endpoint, before: Option<&Self>) -> Self {
        let state = before.map(|before| Arc::clone(&before.0.state)).unwrap_or_default();
        Self(Arc::new(Keeper { oauth, upstream, endpoint, state }))
    }

    /// A good token. Callers that come while one is being asked for wait for the same answer, or fault. `now` is wall-clock time.
    pub(super) async fn token(&self, now: Timestamp) -> Result<Arc<Token>, CallFault> {
        let asking = {
            let mut state = self.0.state();
            let instant = Instant::now();
            let good = state.current.clone().filter(|token| instant < token.expires_at);
            let is_quiet = state.quiet_until.is_some_and(|until| instant < until);
            match good {
                Some(token) if instant < token.renew_at || is_quiet => return Ok(token),
                Some(token) => {
                    // Renewed behind this call's back: nobody waits.
                    drop(self.ask(&mut state, now));
                    return Ok(token);
                }
                None => self.ask(&mut state, now),
            }
        };
        asking.await
    }

    /// The upstream has refused this token: it is used no more.
    pub(super) fn refused(&self, token: &Arc<Token>) {
        self.0.state().current.take_if(|current| Arc::ptr_eq(current, token));
    }

    /// Joins the request that is under way, or begins one. It runs by itself, so that no caller that leaves takes a new refresh token with it.
    fn ask(&self, state: &mut State, now: Timestamp) -> Asking {
        if let Some(asking) = &state.asking {
            return asking.clone();
        }
        let keeper = Arc::clone(&self.0);
        let task = tokio::spawn(async move { keeper.renew(now).await });
        let keeper = Arc::clone(&self.0);
        let ended = move || {
            // Whoever comes next asks anew.
            keeper.state().asking = None;
            CallFault::new(CallFaultKind::Connect, "asking for a token was broken off")
        };
        let asking: Asking = task.map(move |joined| joined.unwrap_or_else(|_| Err(ended()))).boxed().shared();
        state.asking = Some(asking.clone());
        asking
    }
}

impl Keeper {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self, now: Timestamp) -> Result<Arc<Token>, CallFault> {
        let asked_at = Instant::now();
        let refresh_token = self.state().refresh_token.clone().or_else(|| self.oauth.refresh_token.clone());
        let asked = self.request(refresh_token.as_ref(), now).await;
        let mut state = self.state();
        state.asking = None;
        state.quiet_until = asked.is_err().then(|| Instant::now() + QUIET_AFTER_FAILURE);
        let Granted { credentials, lifetime, refresh_token: given } = asked?;
        if let Some(given) = given.filter(|given| refresh_token.is_some() && refresh_token.as_ref() != Some(given)) {
            warn_of_rotation(&self.upstream, state.refresh_token.is_some());
            state.refresh_token = Some(given);
        }
        let token = Arc::new(Token::new(credentials, asked_at, lifetime));
        state.current = Some(Arc::clone(&token));
        Ok(token)
    }

    async fn request(&self, refresh_token: Option<&Secret>, now: Timestamp) -> Result<Granted, CallFault> {
        let target = format!("the token endpoint of upstream `{}`", self.upstream);
        let Endpoint { client, timeouts, allow, mischief } = &self.endpoint;
        let bounds = Bounds::from_now(timeouts.read, timeouts.total, ANSWER_BYTES_MAX);
        let exchanging = exchange(client, self.oauth.request(refresh_token), bounds);
        let answer = match mischief {
            Some(mischief) => mischief.befall(exchanging, bounds).await,
            None => exchanging.await,
        };
        // Whatever became of this request, the call itself was not made.
        let fault = |fault: CallFault| CallFault { may_have_happened: false, ..fault };
        let answer = answer.map_err(|broken| fault(broken.fault(&target, allow)))?;
        granted(&answer, &target, now)
    }
}

fn warn_of_rotation(upstream: &UpstreamName, again: bool) {
    if !again {
        warn!(
            %upstream,
            "the token endpoint has replaced the refresh token; the new one is kept in memory only, and a restart uses the configured one"
        );
    }
}

impl Token {
    /// Renewed when 30 s or a tenth of its life are left, whichever is more, but not in the first half of it. Of the last tenth, at most
    /// 5 s, nothing is used: it would expire on the way.
    fn new(credentials: Credentials, asked_at: Instant, lifetime: Duration) -> Self {
        let margin = Duration::from_secs(30).max(lifetime / 10).min(lifetime / 2);
        let slack = Duration::from_secs(5).min(lifetime / 10);
        Self { credentials, renew_at: asked_at + (lifetime - margin), expires_at: asked_at + (lifetime - slack) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connector::{Connector, Guard};
    use super::super::exchange::client;
    use super::super::oauth::{ClientAuthentication, token_url};
    use super::super::tests::oauth::token;
    use super::super::tests::server::{Reply, Server};
    use super::super::tls::Tls;
    use super::*;

    /// The tokens of a server; the first one is still good and has to be renewed.
    async fn due(replies: impl IntoIterator<Item = Reply>) -> (Tokens, Server) {
        let server = Server::start(replies).await;
        let oauth = OAuth {
            token_url: token_url(&server.url()).expect("a URL"),
            client_id: "id".into(),
            client_secret: Secret::new(&b"secret"[..]),
            style: ClientAuthentication::Basic,
            scope: None,
            audience: None,
            refresh_token: None,
            parameters: Vec::new(),
        };
        let timeouts = Timeouts::default();
        let connector = Connector::new(false, &Tls::default(), Guard::Anywhere, timeouts.connect).expect("no TLS");
        let endpoint = Endpoint { client: client(connector), timeouts, allow: String::new(), mischief: None };
        let tokens = Tokens::new(oauth, "crm".parse().expect("a name"), endpoint, None);
        let now = Instant::now();
        let old = Token { credentials: Credentials::None, renew_at: now, expires_at: now + Duration::from_hours(1) };
        tokens.0.state().current = Some(Arc::new(old));
        (tokens, server)
    }

    async fn get(tokens: &Tokens) -> Arc<Token> {
        tokens.token(Timestamp::from_millis(0)).await.map_err(|fault| fault.message).expect("a token")
    }

    /// What is under way has come to its end.
    async fn settled(tokens: &Tokens) {
        let asking = tokens.0.state().asking.clone();
        asking.expect("a renewal is under way").await.map(drop).unwrap_or_default();
    }

    #[tokio::test]
    async fn a_token_that_is_still_good_is_used_while_another_is_asked_for() {
        let (tokens, server) = due([token("new", 3600)]).await;
        let old = get(&tokens).await;
        assert!(Arc::ptr_eq(&old, &get(&tokens).await), "nobody waits");
        settled(&tokens).await;
        let new = get(&tokens).await;
        assert!(!Arc::ptr_eq(&old, &new));
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_renewal_that_fails_leaves_the_good_token_and_the_endpoint_in_peace() {
        let (tokens, server) = due([Reply::Reset]).await;
        let old = get(&tokens).await;
        settled(&tokens).await;
        for _ in 0..3 {
            assert!(Arc::ptr_eq(&old, &get(&tokens).await));
        }
        assert!(tokens.0.state().asking.is_none());
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_token_that_somebody_has_replaced_is_not_refused_again() {
        let (tokens, server) = due([token("new", 3600)]).await;
        let old = get(&tokens).await;
        settled(&tokens).await;
        let new = get(&tokens).await;
        tokens.refused(&old);
        assert!(Arc::ptr_eq(&new, &get(&tokens).await));
        assert_eq!(server.seen().len(), 1);
    }

    #[test]
    fn a_token_is_renewed_before_it_expires_however_short_it_lives() {
        let start = Instant::now();
        for (lifetime, renewed, expired) in [(3600, 3240, 3595), (300, 270, 295), (60, 30, 55), (10, 5, 9), (0, 0, 0)] {
            let token = Token::new(Credentials::None, start, Duration::from_secs(lifetime));
            let after = |moment: Instant| (moment - start).as_secs();
            assert_eq!((after(token.renew_at), after(token.expires_at)), (renewed, expired), "{lifetime}");
        }
    }
}
