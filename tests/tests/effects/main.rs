//! What a handler asks for is committed with its outcome or not at all: faults at the store's seam, on both drivers.

mod bench;
mod ask;
mod faults;
mod again;
mod state;
mod due;
mod forgetting;
mod steps;
mod moments;

/// Each of these on both drivers.
macro_rules! on_both {
    ($($module:ident::$test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$module::$test(super::bench::Bench::on_sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$module::$test(super::bench::Bench::on_postgres().await).await;
            })*
        }
    };
}

on_both! {
    faults::a_stale_owner_leaves_nothing,
    faults::a_conflict_leaves_nothing_and_its_job_can_be_settled_again,
    faults::of_a_group_only_what_the_database_refuses_is_buried_and_without_its_effects,
    faults::a_compensation_commits_with_the_dead_letter,
    again::a_run_that_is_repeated_emits_and_delivers_the_same_once,
    again::an_event_that_is_emitted_and_sent_at_once_is_stored_once,
    again::a_refused_delivery_is_sent_again_under_another_key,
    again::everything_is_there_after_a_restart,
    state::counters_of_jobs_that_end_together_lose_nothing,
    state::a_quota_holds_at_the_commit,
    state::what_has_expired_is_not_there_and_then_forgotten,
    state::versions_are_never_given_twice_also_when_the_clock_was_set_back,
    state::a_scope_of_one_source_is_apart,
    due::what_is_asked_for_with_a_delay_is_due_later,
    due::a_delayed_event_joins_its_line_and_is_not_due_before,
    due::an_upstream_that_is_back_wakes_its_jobs_oldest_first,
    forgetting::with_an_event_go_its_steps_and_deliveries,
    steps::the_first_answer_stays_and_only_failures_are_forgotten_for_a_replay,
    steps::a_stale_owner_records_no_step,
    steps::an_event_shows_its_steps_its_deliveries_and_who_emitted_it,
}
