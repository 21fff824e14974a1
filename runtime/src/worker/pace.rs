//! Slow start: after a restart with unfinished work, concurrency doubles each second, so that upstreams which just came back
//! are not trampled.

use std::time::Duration;

use super::Crew;

const FIRST_PLACES: usize = 4;
const STEP: Duration = Duration::from_secs(1);

impl Crew {
    /// Opens the places, all at once or step by step.
    pub(super) async fn open_places(&self, places: usize, slowly: bool) {
        let slots = &self.workshop.slots;
        let mut open = if slowly { FIRST_PLACES.min(places) } else { places };
        slots.add(open);
        while open < places {
            if self.closing.run_until_cancelled(self.workshop.clock.sleep(STEP)).await.is_none() {
                break;
            }
            let more = open.min(places - open);
            slots.add(more);
            open += more;
        }
    }
}
