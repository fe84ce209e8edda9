use super::failure::{BAD_PAGES, DENIALS, FRESH};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const IDLE: Idle = Idle { poll_interval: SECOND, closed: false };
const LIMITS: Limits = Limits { stall_timeout: Duration::from_secs(60) };

fn reader() -> Reader {
    reader_with(Terms::of_pages(1, 1))
}

fn reader_with(terms: Terms) -> Reader {
    let mut reader = Reader::new("s".into(), Position::Beginning, None, terms);
    reader.phase = Phase::Fetching(cursor());
    reader
}

/// As Kinesis: five pages and 2 MB a second.
fn paced() -> Reader {
    reader_with(Terms {
        pause: SECOND / 5,
        shard_bytes_per_second: Some(2_000_000),
        opens_at_time: true,
        tells_lag: true,
        ..Terms::of_pages(1, 1)
    })
}

fn page(server_time: Option<Millis>, behind: Option<Millis>) -> Page {
    Page {
        shard: "s".into(),
        body: Vec::new().into(),
        records: 0..0,
        next: Some(cursor()),
        behind,
        children: Vec::new(),
        hash_keys: None,
        weight: 0,
        server_time,
    }
}

fn cursor() -> Cursor {
    Cursor("c".into())
}

fn fail(reader: &mut Reader, kind: ErrorKind, now: Now) -> Reaction {
    reader.failed(Error::new(kind, "no"), &LIMITS, &mut Jitter::new(1), now)
}

#[test]
fn records_are_followed_by_another_request_at_once() {
    let mut reader = reader();
    reader.progressed(&page(None, None), SECOND);
    assert_eq!((reader.due, reader.want()), (SECOND, Some(Want::Fetch(cursor()))));
}

#[test]
fn a_shard_that_is_pushed_is_asked_at_once_though_it_is_empty() {
    let mut reader = reader_with(Terms { pushes: true, tells_lag: true, ..Terms::of_pages(1, 1) });
    reader.found_nothing(&page(Some(0), Some(0)), &IDLE, SECOND);
    assert_eq!((reader.due, reader.want()), (SECOND, Some(Want::Fetch(cursor()))));
}

#[test]
fn waiting_for_a_push_proves_nothing_and_ends_no_failure() {
    let mut reader = reader_with(Terms { pushes: true, ..Terms::of_pages(1, 1) });
    fail(&mut reader, ErrorKind::Connection, SECOND);
    for second in 2..60 {
        reader.phase = Phase::Fetching(cursor());
        reader.waited(cursor(), SECOND * second);
        assert_eq!((reader.due, reader.want()), (SECOND * second, Some(Want::Fetch(cursor()))));
    }
    assert!(!reader.is_quiet(SECOND, SECOND * 60) && !reader.is_caught_up());
    reader.phase = Phase::Fetching(cursor());
    match fail(&mut reader, ErrorKind::Connection, SECOND * 62) {
        Reaction::Fail(error) => assert_eq!(error.kind(), ErrorKind::Stalled),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shard_that_stays_empty_is_asked_no_more_often_than_its_poll_interval() {
    let mut reader = reader();
    let mut now = Duration::ZERO;
    let mut pauses = Vec::new();
    for _ in 0..30 {
        reader.found_nothing(&page(Some(0), None), &IDLE, now);
        pauses.push(reader.due - now);
        now = reader.due;
    }
    assert!(pauses[0] < SECOND / 10 && pauses.is_sorted());
    assert!(pauses[15..].iter().all(|pause| *pause == SECOND));
}

#[test]
fn ten_empty_pages_verify_the_moment_of_the_first() {
    let mut reader = reader();
    let found = (0..10).map(|call| reader.found_nothing(&page(Some(1000 + call), None), &IDLE, SECOND));
    let found: Vec<_> = found.collect();
    assert!(found[..9].iter().all(Option::is_none));
    assert_eq!(found[9], Some(1000));
}

#[test]
fn an_empty_page_verifies_as_far_as_the_service_says() {
    let mut reader = paced();
    assert_eq!(reader.found_nothing(&page(Some(90_000), Some(60_000)), &IDLE, SECOND), Some(30_000));
    assert_eq!((reader.due, reader.is_caught_up()), (SECOND + SECOND / 5, false));
    assert_eq!(reader.reached_end, None);
}

/// The shard may have closed meanwhile, and what comes then is in its children.
#[test]
fn nothing_behind_an_empty_page_reaches_the_end_but_verifies_only_when_it_goes_on() {
    let mut reader = paced();
    for call in 1..QUIET_CALLS {
        let time = 91_000 + i64::from(call);
        assert_eq!(reader.found_nothing(&page(Some(time), Some(0)), &IDLE, SECOND), None);
        assert_eq!((reader.is_caught_up(), reader.reached_end), (true, Some(time)));
    }
    assert_eq!(reader.verified, None);
    assert_eq!(reader.found_nothing(&page(Some(99_000), Some(0)), &IDLE, SECOND), Some(91_001));
    let last = Page { next: None, ..page(Some(200_000), Some(60_000)) };
    assert_eq!(reader.found_nothing(&last, &IDLE, SECOND), None);
}

#[test]
fn a_closed_shard_is_read_to_its_end_when_nothing_more_comes() {
    let mut reader = paced();
    let last = |behind| Page { next: None, ..page(Some(90_000), Some(behind)) };
    reader.found_nothing(&last(0), &IDLE, SECOND);
    assert!(!reader.is_read_to_its_end(), "it was open when it was asked");
    reader.asked_closed = true;
    for _ in 0..ENDS {
        assert!(!reader.is_read_to_its_end());
        reader.found_nothing(&page(Some(90_000), Some(5)), &IDLE, SECOND);
        reader.found_nothing(&last(5), &IDLE, SECOND);
    }
    assert!(reader.is_read_to_its_end());
    reader.progressed(&page(None, None), SECOND);
    assert!(!reader.is_read_to_its_end());
    reader.found_nothing(&last(0), &IDLE, SECOND);
    assert!(reader.is_read_to_its_end());
}

/// Behind each new cursor some empty pages may come before the records.
#[test]
fn empty_pages_of_several_cursors_prove_nothing_together() {
    let mut reader = reader();
    for _ in 0..5 {
        reader.opened(cursor(), SECOND);
        let found = (0..3).find_map(|_| reader.found_nothing(&page(Some(1000), None), &IDLE, SECOND));
        assert_eq!(found, None);
        assert!(!reader.is_quiet(Duration::ZERO, SECOND));
    }
}

#[test]
fn pages_pay_for_their_bytes_by_waiting() {
    let mut reader = paced();
    let mut full = page(None, Some(1));
    full.weight = 10 << 20;
    reader.progressed(&full, SECOND);
    assert!(reader.due - SECOND >= SECOND * 5, "{:?}", reader.due);
    reader.progressed(&page(None, Some(1)), SECOND);
    assert_eq!(reader.due, SECOND + SECOND / 5);
}

#[test]
fn a_part_of_a_record_is_asked_for_with_its_whole() {
    let number = |text| SequenceNumber::parse(text).unwrap();
    let cases = [
        (Position::After(number("7:2")), OpenAt::At(number("7:2")), Some(number("7:2"))),
        (Position::At(number("7:2")), OpenAt::At(number("7:2")), Some(number("7:1"))),
        (Position::At(number("7:0")), OpenAt::At(number("7:0")), None),
        (Position::After(number("7")), OpenAt::After(number("7")), None),
    ];
    for (position, at, through) in cases {
        let mut reader = paced();
        (reader.position, reader.phase) = (position, Phase::Closed);
        assert_eq!((reader.want(), reader.through()), (Some(Want::Open(at)), through));
    }
}

#[test]
fn a_shard_read_from_a_moment_is_opened_there_until_it_has_a_position() {
    let mut reader = paced();
    (reader.created_before, reader.phase) = (Some(5), Phase::Closed);
    assert_eq!(reader.want(), Some(Want::Open(OpenAt::Time(5))));
    reader.position = Position::After(SequenceNumber::parse("7").unwrap());
    assert!(matches!(reader.want(), Some(Want::Open(OpenAt::After(_)))));
}

#[test]
fn an_expired_cursor_is_renewed_behind_the_last_record() {
    let mut reader = reader();
    let number = SequenceNumber::parse("7").unwrap();
    reader.position = Position::After(number.clone());
    assert!(matches!(fail(&mut reader, ErrorKind::IteratorExpired, SECOND), Reaction::Retry));
    assert_eq!(reader.want(), Some(Want::Open(OpenAt::After(number))));
}

#[test]
fn an_expired_cursor_without_any_record_goes_back_to_the_beginning() {
    let mut reader = reader();
    fail(&mut reader, ErrorKind::IteratorExpired, SECOND);
    assert_eq!(reader.want(), Some(Want::Open(OpenAt::Beginning)));
}

#[test]
fn a_failing_service_is_asked_again_with_the_same_cursor_until_the_stall_timeout() {
    let mut reader = reader();
    assert!(matches!(fail(&mut reader, ErrorKind::Service, SECOND), Reaction::Retry));
    assert_eq!(reader.want(), Some(Want::Fetch(cursor())));
    reader.phase = Phase::Fetching(cursor());
    match fail(&mut reader, ErrorKind::Service, SECOND * 62) {
        Reaction::Fail(error) => assert_eq!(error.kind(), ErrorKind::Stalled),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cursor_that_expires_at_once_again_and_again_is_a_stall() {
    let mut reader = reader();
    let mut now = SECOND;
    let failed = loop {
        reader.opened(cursor(), now);
        reader.phase = Phase::Fetching(cursor());
        match fail(&mut reader, ErrorKind::IteratorExpired, now) {
            Reaction::Retry => {
                let first = reader.counts.expired == 1;
                assert_eq!(reader.due == now, first, "it is asked again without a pause");
            }
            Reaction::Fail(error) => break error,
            Reaction::Doubt => panic!("an expired cursor is no doubt"),
        }
        assert_eq!(reader.want(), Some(Want::Open(OpenAt::Beginning)));
        now = reader.due;
        assert!(now < SECOND * 200, "it goes on for ever");
    };
    assert_eq!(failed.kind(), ErrorKind::Stalled);
}

#[test]
fn a_cursor_that_grew_old_is_renewed_at_once_and_is_no_failure() {
    let mut reader = reader();
    for hour in 1..100 {
        reader.opened(cursor(), SECOND * 3600 * hour);
        reader.phase = Phase::Fetching(cursor());
        let later = SECOND * 3600 * hour + FRESH;
        assert!(matches!(fail(&mut reader, ErrorKind::IteratorExpired, later), Reaction::Retry));
        assert_eq!((reader.due, reader.last_failure().is_some()), (later, false));
    }
}

#[test]
fn pages_that_fail_are_a_stall_though_cursors_come() {
    let mut reader = reader();
    let mut now = SECOND;
    while now < SECOND * 200 {
        reader.phase = Phase::Doubtful(Doubt::NotFound);
        match fail(&mut reader, ErrorKind::Service, now) {
            Reaction::Fail(error) => return assert_eq!(error.kind(), ErrorKind::Stalled),
            other => assert!(matches!(other, Reaction::Retry)),
        }
        reader.opened(cursor(), now);
        now += SECOND * 5;
    }
    panic!("it goes on for ever");
}

#[test]
fn waiting_for_memory_is_no_failing() {
    let mut reader = reader();
    reader.phase = Phase::Fetching(cursor());
    assert!(matches!(fail(&mut reader, ErrorKind::Service, SECOND), Reaction::Retry));
    let asked = reader.due + SECOND * 3600;
    reader.asking(asked);
    reader.phase = Phase::Fetching(cursor());
    assert!(matches!(fail(&mut reader, ErrorKind::Service, asked), Reaction::Retry));
}

#[test]
fn a_bad_page_is_read_again_from_the_position_and_fails_in_the_end() {
    let mut reader = reader();
    for _ in 0..BAD_PAGES {
        assert!(matches!(fail(&mut reader, ErrorKind::BadPage, SECOND), Reaction::Retry));
        assert_eq!(reader.phase, Phase::Closed);
    }
    assert!(matches!(fail(&mut reader, ErrorKind::BadPage, SECOND), Reaction::Fail(_)));
}

#[test]
fn denied_access_has_a_short_grace_and_a_malformed_request_none() {
    let mut reader = reader();
    for _ in 1..DENIALS {
        assert!(matches!(fail(&mut reader, ErrorKind::AccessDenied, SECOND), Reaction::Retry));
    }
    assert!(matches!(fail(&mut reader, ErrorKind::AccessDenied, SECOND), Reaction::Fail(_)));
    assert!(matches!(fail(&mut reader, ErrorKind::InvalidRequest, SECOND), Reaction::Fail(_)));
}

#[test]
fn trimmed_and_missing_are_never_the_end_of_a_shard() {
    for (kind, doubt) in [(ErrorKind::NotFound, Doubt::NotFound), (ErrorKind::Trimmed, Doubt::Trimmed)] {
        let mut reader = reader();
        assert!(matches!(fail(&mut reader, kind, SECOND), Reaction::Doubt));
        assert_eq!(reader.phase, Phase::Doubtful(doubt));
    }
}
