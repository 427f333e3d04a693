//! Whose fault is it? Refused deliveries, suspects, and a subscriber that refuses everything.

use holdfast::store::drain::{Fetched, Finished, RefusedAs};

use super::drain::{draining, probing};
use super::{Bench, LONG, NOW, due, failure, names};

#[tokio::test]
async fn three_equal_answers_make_the_oldest_a_suspect() {
    let bench = Bench::start().await;
    let (mut redelivery, members) = probing(&bench, 3).await;
    for _ in 0..3 {
        assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), members[..1]);
        bench.fail(&redelivery, failure(members[0], NOW, Some(500))).await;
        redelivery = bench.take("w1").await;
    }
    let Fetched::Due { parked, suspects, .. } = bench.fetch(&redelivery, &[]).await else {
        panic!("a probe is due");
    };
    assert_eq!(
        (names(&parked), suspects),
        (members[1..2].to_vec(), members[..1].to_vec())
    );

    // The following one fails too: the next probe goes one further.
    bench.fail(&redelivery, failure(members[1], NOW, Some(500))).await;
    redelivery = bench.take("w1").await;
    let Fetched::Due { parked, suspects, .. } = bench.fetch(&redelivery, &[]).await else {
        panic!("a probe is due");
    };
    assert_eq!(
        (names(&parked), suspects),
        (members[2..].to_vec(), members[..2].to_vec())
    );

    // At the end of the queue it begins with the oldest again.
    bench.fail(&redelivery, failure(members[2], NOW, Some(500))).await;
    redelivery = bench.take("w1").await;
    assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), members[..1]);
    bench.fail(&redelivery, failure(members[0], NOW, Some(500))).await;
    redelivery = bench.take("w1").await;
    assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), members[1..2]);

    // One succeeds: what was passed over is tried once more, in order.
    let delivered = bench.partition.delivered(&redelivery, &members[1..2]).await.unwrap();
    assert!(delivered.closed);
    assert_eq!(
        names(&due(bench.fetch(&redelivery, &[]).await)),
        [members[0], members[2]]
    );
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn different_answers_suspect_nobody() {
    let bench = Bench::start().await;
    let (mut redelivery, members) = probing(&bench, 2).await;
    for status in [Some(500), Some(502), Some(500), None, Some(500), Some(500)] {
        assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), members[..1]);
        bench.fail(&redelivery, failure(members[0], NOW, status)).await;
        redelivery = bench.take("w1").await;
    }
    assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), members[..1]);
}

#[tokio::test]
async fn a_lone_delivery_is_probed_again_however_often_it_fails() {
    let bench = Bench::start().await;
    let (mut redelivery, members) = probing(&bench, 1).await;
    for _ in 0..5 {
        assert_eq!(names(&due(bench.fetch(&redelivery, &[]).await)), members);
        bench.fail(&redelivery, failure(members[0], NOW, Some(500))).await;
        redelivery = bench.take("w1").await;
    }
    bench.sound(&["a"]).await;
}

#[tokio::test]
async fn a_refused_delivery_holds_up_nobody_and_is_buried_in_the_end() {
    let bench = Bench::start().await;
    let (redelivery, members) = probing(&bench, 2).await;
    assert_eq!(
        bench.refuse(&redelivery, members[0], NOW).await,
        (RefusedAs::Due, true),
        "it answered"
    );
    for _ in 0..3 {
        bench.partition.delivered(&redelivery, &members[1..]).await.unwrap();
        assert_eq!(bench.refuse(&redelivery, members[0], NOW).await.0, RefusedAs::Due);
    }
    assert_eq!(bench.refuse(&redelivery, members[0], NOW).await.0, RefusedAs::Buried);
    assert_eq!(bench.refuse(&redelivery, members[0], NOW).await.0, RefusedAs::Gone);
    assert_eq!(bench.partition.finish(&redelivery).await.unwrap(), Finished::Done);
    let state = bench.sound(&["a"]).await;
    assert_eq!((state.parked(), state.dead.len()), (0, 1));
    let letter = bench.partition.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!((letter.reason.as_str(), letter.attempts), ("refused", 6));
    assert_eq!(letter.event, Some(members[0].0));
}

#[tokio::test]
async fn refusals_without_a_success_bury_nothing() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 7).await;
    for member in &members[..4] {
        assert_eq!(bench.refuse(&redelivery, *member, LONG).await.0, RefusedAs::Due);
    }
    for member in &members[4..] {
        assert_eq!(bench.refuse(&redelivery, *member, LONG).await.0, RefusedAs::Unavailable);
    }
    bench.fail(&redelivery, failure(members[4], NOW, Some(404))).await;
    let state = bench.sound(&["a"]).await;
    assert!(bench.is_open("a").await);
    assert_eq!((state.parked(), state.dead.len()), (7, 0));
}

#[tokio::test]
async fn a_few_that_are_refused_for_ever_hold_up_nobody_and_are_kept_until_another_succeeds() {
    let bench = Bench::start().await;
    let (redelivery, members) = draining(&bench, 3).await;
    for _ in 0..10 {
        for member in &members[..2] {
            assert_eq!(bench.refuse(&redelivery, *member, NOW).await.0, RefusedAs::Due);
        }
    }
    bench.partition.delivered(&redelivery, &members[2..]).await.unwrap();
    for member in &members[..2] {
        assert_eq!(bench.refuse(&redelivery, *member, NOW).await.0, RefusedAs::Buried);
    }
    bench.sound(&["a"]).await;
}
