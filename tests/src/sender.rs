//! A provider's side of the wire: requests signed as the provider signs them, sent over TCP.

use std::net::SocketAddr;

use bytes::Bytes;
use hookfast::domain::{EventId, Headers, Secret, Timestamp};
use hookfast::verify::{Catalogue, Options, Sample, SecretSpec, Verifier, sample};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Signs for one source.
pub struct Sender {
    source: String,
    verifier: Verifier,
}

impl Sender {
    /// A sender that shares `secret` with the source, and knows it as `https://hooks.example.com/in/SOURCE`.
    ///
    /// # Panics
    /// If no provider has this name or the secret is not of its form.
    pub fn new(source: &str, provider: &str, secret: &str) -> Self {
        let catalogue = Catalogue::builtin();
        let provider = catalogue.provider(provider).expect("a provider of the catalogue");
        let secret = SecretSpec { secret: Secret::new(secret.as_bytes()), not_before: None, not_after: None };
        let options = Options { public_url: Some(format!("https://hooks.example.com/in/{source}")), ..Options::default() };
        let verifier = Verifier::new(provider, &[secret], &options).expect("a secret that fits");
        Self { source: source.into(), verifier }
    }

    /// A request as the provider would send it at `now`, under its event id `id`.
    pub fn delivery(&self, event_type: &str, id: &str, now: Timestamp) -> Delivery {
        self.signed(sample(self.verifier.provider(), event_type, id, now), now, id)
    }

    /// A request with this body, signed.
    pub fn delivery_of(&self, body: impl Into<Bytes>, now: Timestamp) -> Delivery {
        self.signed(Sample::of(body), now, "msg_1")
    }

    fn signed(&self, mut sample: Sample, now: Timestamp, id: &str) -> Delivery {
        self.verifier.sign(&mut sample, now, id).expect("a secret to sign with");
        let Sample { headers, body, query } = sample;
        let query = if query.is_empty() { query } else { format!("?{query}") };
        Delivery { method: Method::POST, path: format!("/in/{}{query}", self.source), headers, body }
    }
}

/// One request of a provider.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `POST`, unless a test says otherwise.
    pub method: Method,
    /// `/in/SOURCE`.
    pub path: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

impl Delivery {
    /// With one header more.
    pub fn with(mut self, name: &str, value: &'static str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        let kept = self.headers.iter().filter(|(own, _)| *own != name);
        self.headers = kept.map(|(own, value)| (own, Bytes::copy_from_slice(value))).collect();
        self
    }

    /// With another body under the same proof.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Its head and body as bytes on the wire of HTTP/1.1.
    pub fn on_the_wire(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", self.method, self.path, self.body.len()).into_bytes();
        for (name, value) in self.headers.iter() {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The id of the event that was accepted.
    ///
    /// # Panics
    /// If none was.
    pub fn event(&self) -> EventId {
        assert_eq!(self.status, 202, "{self:?}");
        let id = self.json()["id"].as_str().map(str::parse);
        id.expect("an id").expect("an event's id")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and body, as in `404 {"error":"not found"}`.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}

/// A pool of connections.
#[derive(Clone)]
pub struct Wire(Client<HttpConnector, Full<Bytes>>);

/// No answer came.
#[derive(Debug)]
pub struct NoAnswer;

impl Wire {
    /// With no connection yet.
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// That speaks HTTP/2 from the first byte.
    pub fn http2() -> Self {
        Self(Client::builder(TokioExecutor::new()).http2_only(true).build_http())
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// No answer came.
    pub async fn send(&self, to: SocketAddr, delivery: &Delivery) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder().method(delivery.method.clone()).uri(format!("http://{to}{}", delivery.path));
        for (name, value) in delivery.headers.iter() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(delivery.body.clone())).expect("a request");
        let response = self.0.request(request).await.map_err(|_| NoAnswer)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}
