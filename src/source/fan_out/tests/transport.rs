//! Connections: one for each session, read no further than its events are taken.

use super::*;

#[tokio::test]
async fn each_session_has_a_connection_of_its_own() {
    for http2 in [false, true] {
        let session = || Answer::Session(vec![record(1), Step::Silence]);
        let service = Service::start([session(), session(), session()]).await;
        let fan_out = if http2 { over_http2(&service).await } else { fan_out(&service) };
        for shard in ["a", "b", "c"] {
            while Source::fetch(&fan_out, &shard.into(), &beginning()).await.unwrap().says_nothing() {}
        }
        let mut connections: Vec<_> = service.calls().iter().map(|call| call.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        assert_eq!(connections.len(), 3);
    }
}

/// Whoever reads slowly is sent no more than the window and what the sockets hold.
#[tokio::test]
async fn what_is_not_fetched_is_not_read() {
    const TAKEN: usize = 20;
    let event = record_bytes(1);
    let big = frames::event(&format!(
        r#"{{"Records":[],"ContinuationSequenceNumber":"1","MillisBehindLatest":0,"Padding":"{}"}}"#,
        "x".repeat(100_000)
    ));
    assert!(event.len() < big.len());
    let service = Service::start([Answer::Session(vec![record(1), Step::SendForEver(big.clone())])]).await;
    let fan_out = over_http2(&service).await;
    let first = next(&fan_out, &beginning()).await.unwrap();
    settled(&service).await;
    let unread = service.sent();
    assert!(unread < 2 << 20, "{unread} bytes were taken from the service while nobody fetched");
    let mut cursor = first.next.unwrap();
    for _ in 0..TAKEN {
        cursor = next(&fan_out, &cursor).await.unwrap().next.unwrap();
    }
    settled(&service).await;
    let more = service.sent() - unread;
    assert!(more > (TAKEN - 1) * big.len() / 2 && more < (TAKEN + 1) * big.len() + (2 << 20), "{more}");
}

/// Until the service could send no more for a while.
async fn settled(service: &Service) {
    let mut sent = usize::MAX;
    while sent != service.sent() {
        sent = service.sent();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_server_that_goes_away_finishes_its_session_first() {
    let sessions = [vec![record(1), Step::GoAway, record(2)], vec![record(3)]];
    let service = Service::start(sessions.map(Answer::Session)).await;
    let (found, errors) = numbers(&over_http2(&service).await, 3).await;
    assert_eq!((found, errors), (["1", "2", "3"].map(str::to_owned).into(), Vec::new()));
    assert_eq!(service.positions()[1], "AFTER_SEQUENCE_NUMBER 2");
}

#[tokio::test]
async fn connections_are_given_up_with_the_source() {
    for http2 in [false, true] {
        let service = Service::start([Answer::Session(vec![record(1), Step::Silence])]).await;
        let fan_out = if http2 { over_http2(&service).await } else { fan_out(&service) };
        next(&fan_out, &beginning()).await.unwrap();
        assert!(service.open() > 0);
        drop(fan_out);
        while service.open() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
