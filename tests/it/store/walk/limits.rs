//! The step of a walk that keeps a subscription's limits: to the dead letters, or through a file.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast::domain::ids::Member;
use holdfast::domain::retention::Retention;
use holdfast::domain::units::Period;
use holdfast::store::retention::{Bounds, Offer};

use super::world::World;
use crate::store::id;

impl World {
    pub(super) async fn keep_limits(&mut self) -> &'static str {
        let all: Vec<String> = self.subscriptions.keys().cloned().collect();
        let name = all[self.below(all.len())].clone();
        let keep = self.below(4) as u64;
        let by_age = self.one_in(3);
        let bounds = Bounds {
            subscription: id(&name),
            limits: Retention {
                max_age: by_age.then_some(Period::from_millis(keep)),
                ..Retention::default()
            },
            keep: (!by_age).then_some(keep),
        };
        let held = self.state.queues.get(&name).map_or(0, BTreeMap::len);
        if self.one_in(2) {
            let (moved, _) = self.partition.bury_overflow(&bounds, 0).await.unwrap();
            self.note(format!("{name} keeps {keep} (by age: {by_age}): {moved:?} dead"));
            assert!(by_age || moved.total() <= (held as u64).saturating_sub(keep));
            return "bury overflow";
        }
        self.write_overflow(&bounds).await
    }

    /// Two workers at once, with a lease that may be over; each may die before the deliveries leave the queue.
    async fn write_overflow(&mut self, bounds: &Bounds) -> &'static str {
        let lease = Duration::from_secs(if self.one_in(2) { 9 } else { 0 });
        let name = bounds.subscription.as_str().to_owned();
        let mut offers = Vec::new();
        for worker in ["w1", "w2"] {
            let offer = self.partition.offer_overflow(bounds, 0, worker, lease).await.unwrap();
            self.note(format!("{worker} is offered {offer:?} of {name}"));
            if let Offer::Lines { lines, .. } = offer {
                offers.push((worker, lines));
            }
        }
        for (worker, lines) in offers {
            let members: Vec<Member> = lines.iter().map(|line| line.member).collect();
            assert!(lines.iter().all(|line| line.frame.is_some()));
            let written = members.iter().map(|member| (member.0, name.clone()));
            self.written.extend(written);
            if self.one_in(3) {
                continue;
            }
            let left = self.partition.overflowed(&bounds.subscription, worker, &members).await;
            assert!(left.unwrap() as usize <= members.len());
            self.partition
                .overflowed(&bounds.subscription, worker, &[])
                .await
                .unwrap();
        }
        "write overflow"
    }
}
