use super::*;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::{ClientCertificate, PreviousSecret};

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn sealer(key: &str, previous: &str) -> Sealer {
    let settings = Secrets {
        key: Some(key.to_owned().into()).filter(|_| !key.is_empty()),
        previous_keys: Some(previous.to_owned().into()).filter(|_| !previous.is_empty()),
        ..Secrets::default()
    };
    Sealer::load(&settings).expect("keys")
}

#[test]
fn a_value_opens_where_it_belongs_and_nowhere_else() {
    let sealer = sealer(OLD, "");
    let sealed = sealer.seal("here", "hunter2").expect("sealed");
    assert!(!sealed.contains("hunter2") && sealer.is_current(&sealed), "{sealed}");
    assert_ne!(sealed, sealer.seal("here", "hunter2").expect("sealed"), "a nonce each");
    assert_eq!(sealer.open("here", &sealed).as_deref(), Ok("hunter2"));
    assert!(matches!(sealer.open("there", &sealed), Err(Locked::Damaged { .. })));
}

#[test]
fn no_changed_or_cut_value_opens() {
    let sealer = sealer(OLD, "");
    let sealed = sealer.seal("here", "hunter2").expect("sealed");
    let (head, text) = sealed.split_at(sealed.rfind(':').expect("a colon") + 1);
    let bytes = STANDARD.decode(text).expect("base64");
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        for wrong in [&changed[..], &bytes[..at]] {
            let wrong = format!("{head}{}", STANDARD.encode(wrong));
            assert!(
                matches!(sealer.open("here", &wrong), Err(Locked::Damaged { .. })),
                "{at}"
            );
        }
    }
    for wrong in ["", ":", "x:y", "é"] {
        assert!(sealer.open("here", &format!("{MARK}{wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn a_rotation_seals_with_the_new_key_and_opens_with_both() {
    let (before, during, after) = (sealer(OLD, ""), sealer(NEW, OLD), sealer(NEW, ""));
    let old = before.seal("here", "hunter2").expect("sealed");
    assert_eq!(during.open("here", &old).as_deref(), Ok("hunter2"));
    assert!(!during.is_current(&old));
    let new = during.seal("here", "hunter2").expect("sealed");
    assert!(during.is_current(&new));
    assert_eq!(after.open("here", &new).as_deref(), Ok("hunter2"));
    let locked = after.open("here", &old).expect_err("its key is gone").to_string();
    let id = before.key_id().expect("a key");
    assert!(
        locked.contains(id) && locked.contains("secrets.previous_keys"),
        "{locked}"
    );
}

#[test]
fn without_a_key_values_stay_as_they_are() {
    let none = Sealer::default();
    assert_eq!(none.seal("here", "hunter2").expect("as it is"), "hunter2");
    assert_eq!(none.open("here", "hunter2").as_deref(), Ok("hunter2"));
    assert!(none.is_current("hunter2"));
    let sealed = sealer(OLD, "").seal("here", "hunter2").expect("sealed");
    assert!(matches!(none.open("here", &sealed), Err(Locked::UnknownKey { .. })));
    assert!(!none.is_current(&sealed));
    assert!(!sealer(OLD, "").is_current("hunter2"));
}

#[test]
fn no_message_about_a_key_shows_it() {
    let settings = Secrets {
        key: Some("hunter2".to_owned().into()),
        ..Secrets::default()
    };
    let error = Sealer::load(&settings).expect_err("no key").to_string();
    assert!(error.contains("secrets.key") && !error.contains("hunter2"), "{error}");
    let shown = format!("{settings:?} {:?}", sealer(OLD, NEW));
    assert!(!shown.contains("hunter2") && !shown.contains("AAAA"), "{shown}");
}

#[test]
fn a_file_holds_keys_newest_first() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let settings = Secrets {
        key_file: Some(file.path().to_owned()),
        ..Secrets::default()
    };
    let load = |text: &str| {
        std::fs::write(file.path(), text).expect("written");
        Sealer::load(&settings)
    };
    let both = load(&format!("# since March\n{NEW}\n\n  {OLD}  \n")).expect("two keys");
    assert_eq!(both.key_id(), sealer(NEW, "").key_id());
    assert_eq!(both.keys.len(), 2);
    for wrong in ["", "# none\n", "hunter2\n"] {
        let error = load(wrong).expect_err("no key").to_string();
        assert!(
            error.contains("secrets.key_file") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn every_secret_of_a_subscription_is_sealed_and_opens_again() {
    let id = SubscriptionId::new("a").expect("an id");
    let destination = "https://siem.example/".parse().expect("a URL");
    let mut subscription = Subscription::new(id, destination, String::new());
    subscription.headers = vec![("X-One".to_owned(), Secret::new("c4n4ry-1"))];
    subscription.secret = Some(Secret::new("c4n4ry-2"));
    subscription.previous_secret = Some(PreviousSecret {
        secret: Secret::new("c4n4ry-3"),
        until: 7,
    });
    subscription.client_certificates = vec![ClientCertificate {
        id: "1".to_owned(),
        pem: "public".to_owned(),
        key: Secret::new("c4n4ry-4"),
    }];
    let sealer = sealer(OLD, "");
    let plain = serde_json::to_string(&subscription).expect("JSON");
    assert_eq!(plain.matches("c4n4ry").count(), 4);
    let sealed = serde_json::to_string(&sealer.seal_all(&subscription).expect("sealed")).expect("JSON");
    assert!(!sealed.contains("c4n4ry"), "{sealed}");
    let mut read: Subscription = serde_json::from_str(&sealed).expect("a subscription");
    sealer.open_all(&mut read);
    assert_eq!(read, subscription);

    let mut locked: Subscription = serde_json::from_str(&sealed).expect("a subscription");
    Sealer::default().open_all(&mut locked);
    let why = locked.locked().expect("locked").to_string();
    assert!(
        why.contains("X-One") && why.contains(sealer.key_id().expect("a key")),
        "{why}"
    );
    let kept = serde_json::to_string(&Sealer::default().seal_all(&locked).expect("kept")).expect("JSON");
    assert_eq!(kept, sealed, "what can't be opened is written back as it was");
}
