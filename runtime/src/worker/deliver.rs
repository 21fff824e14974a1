//! One delivery: a request that a handler has handed over, made by the host on its own, and what its answer means.

use std::time::Instant;

use super::Crew;
use super::attempt::Ended;
use super::notice::is_own;
use super::surroundings::call;
use crate::config::InForce;
use crate::domain::{
    AttemptRecord, CallFault, CallFaultKind, CallRecord, Delivery, FailureKind, Job, OutboundAnswer, OutboundRequest, Outcome, ParkReason,
    Timestamp, Verdict, shown_path,
};
use crate::upstream::{CallContext, opened_record};

impl Crew {
    /// Makes the request once.
    pub(super) async fn deliver(&self, job: &Job, delivery: &Delivery, in_force: &InForce) -> Ended {
        let now = self.workshop.clock.now();
        let started = Instant::now();
        let context = CallContext { plugin: job.plugin.clone(), lineage: job.lineage.clone(), replays: delivery.replays, now };
        // The host's own notices go where its configuration says.
        let is_granted = is_own(job, &in_force.settings) || in_force.settings.grant(&job.plugin).upstreams.contains(&delivery.upstream);
        let (answer, call) = if is_granted {
            call(&in_force.upstreams, &self.workshop.metrics, request(delivery), &context).await
        } else {
            let message = format!("upstream `{}` is not granted to plugin `{}` any more", delivery.upstream, job.plugin);
            let fault = CallFault::new(CallFaultKind::NotGranted, message);
            let record = CallRecord { fault: Some(fault.kind.code().into()), ..opened_record(&request(delivery), &context) };
            (Err(fault), record)
        };
        let verdict = match &answer {
            Err(fault) if fault.kind.is_upstream_down() => None,
            answer => Some(verdict(answer, delivery, self.workshop.clock.now())),
        };
        let failure = if let Some(Verdict::Retry { kind, .. }) = &verdict { Some(*kind) } else { None };
        let record = AttemptRecord {
            started_at: now,
            duration: started.elapsed(),
            digest: delivery.digest,
            failure,
            calls: vec![call],
            log: Vec::new(),
        };
        let outcome = match verdict {
            None => Outcome::Park { reason: ParkReason::UpstreamDown(delivery.upstream.clone()) },
            Some(verdict) => self.decide(verdict, job, in_force),
        };
        Ended::plain(outcome, Some(record))
    }
}

fn request(delivery: &Delivery) -> OutboundRequest {
    OutboundRequest {
        upstream: delivery.upstream.to_string(),
        method: delivery.method.clone(),
        path: delivery.path.clone(),
        headers: delivery.headers.clone(),
        body: delivery.body.clone(),
        timeout: None,
        step: None,
    }
}

fn verdict(answer: &Result<OutboundAnswer, CallFault>, delivery: &Delivery, now: Timestamp) -> Verdict {
    let retry = |reason, after| Verdict::Retry { kind: FailureKind::Handler, reason, after };
    let answered = |answer: &OutboundAnswer| {
        format!("{} {} {} answered {}", delivery.method, delivery.upstream, shown_path(&delivery.path), answer.status)
    };
    match answer {
        Ok(answer) if !answer.is_as_promised(&delivery.headers) => retry(format!("{}, and not JSON", answered(answer)), None),
        Ok(answer @ OutboundAnswer { status: 200..=299, .. }) => Verdict::Done(Some(answered(answer))),
        Ok(answer) if answer.is_final() => Verdict::DeadLetter(answered(answer)),
        Ok(answer) => retry(answered(answer), answer.retry_after(now)),
        // What its operator can mend is tried again; and a request that may have had its effect must keep its key over a replay.
        Err(fault) if fault.kind == CallFaultKind::InvalidRequest => Verdict::DeadLetter(fault.message.clone()),
        Err(fault) => retry(fault.message.clone(), fault.retry_after),
    }
}
