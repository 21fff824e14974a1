//! Random histories of the real store against a small model of what must be true: no job is lost, none is settled twice, a
//! stale settle changes nothing, and a crash costs no attempt.

mod history;
mod step;

use proptest::prelude::*;

use self::history::History;
use self::step::{Step, steps};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(play(steps));
    }
}

async fn play(steps: Vec<Step>) {
    let mut history = History::new().await;
    for step in steps {
        history.take(step).await;
        history.compare().await;
    }
    history.crash().await;
    history.compare().await;
    history.end().await;
}
