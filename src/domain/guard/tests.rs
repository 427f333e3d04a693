use rstest::rstest;

use super::*;

fn guard(allow: &str, deny: &str) -> Guard {
    let own = ["0.0.0.0:8080", "192.0.2.7:9090", "[::]:8443"].map(|own| own.parse().expect("an address"));
    Guard::new(
        allow.parse().expect("a list"),
        deny.parse().expect("a list"),
        own.to_vec(),
    )
}

fn judged(guard: &Guard, url: &str) -> Result<(), Blocked> {
    guard.judge(&url.parse().expect("a URL"))
}

/// Each in every spelling that reaches the same place.
#[rstest]
#[case(Class::Loopback, &[
    "http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0177.0.0.1/",
    "http://017700000001/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://0X7F.1/", "http://127.0.0.1./",
    "http://127.255.255.254:9000/", "http://１２７.０.０.１/", "http://%31%32%37.0.0.1/", "http://127。0。0。1/",
    "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::127.0.0.1]/", "http://[64:ff9b:1:7f00:0:100::]/", "http://[64:ff9b:1:a7f:0:1::]/",
    "http://[64:ff9b:1:a0a:7f:0:100:0]/", "http://[2002:7f00:1::]/", "http://[2002:7f00:1::beef]/",
    "http://[2001:0:7f00:1::]/", "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "http://[fd00::5efe:127.0.0.1]/",
    "http://[fd00::200:5efe:127.0.0.1]/", "http://localhost/", "http://LOCALHOST./", "https://a.b.localhost:444/",
])]
#[case(Class::LinkLocal, &[
    "http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/",
    "http://[fe80::1]/", "http://[febf::1]/", "http://[::ffff:169.254.1.1]/", "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::1]/",
])]
#[case(Class::Metadata, &[
    "http://[fd00:ec2::254]/", "http://[fd20:ce::254]/", "http://100.100.100.200/", "http://168.63.129.16/",
    "http://192.0.0.192/", "http://[::ffff:100.100.100.200]/",
])]
#[case(Class::Multicast, &["http://224.0.0.1/", "http://239.255.255.255/", "http://[ff02::1]/", "http://[ff0e::1]/"])]
#[case(Class::Unspecified, &[
    "http://0.0.0.0/", "http://0/", "http://0x0/", "http://0.1.2.3/", "http://[::]/", "http://[::ffff:0.0.0.0]/",
])]
#[case(Class::Reserved, &["http://255.255.255.255/", "http://240.0.0.1/", "http://4294967295/", "http://0xffffffff/"])]
fn no_spelling_reaches_a_refused_range(#[case] class: Class, #[case] urls: &[&str]) {
    for url in urls {
        // Neither a list of everything nor one with the name lifts it.
        for guard in [guard("", ""), guard("0.0.0.0/0,::/0,localhost,*.localhost", "")] {
            match judged(&guard, url) {
                Err(Blocked::Range { class: found, .. }) => assert_eq!(found, class, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
    }
}

#[rstest]
#[case("http://10.0.0.7:9000/events")]
#[case("https://172.16.3.4/")]
#[case("https://192.168.0.1/")]
#[case("https://100.64.0.1/")]
#[case("https://[fd12:3456::1]/")]
#[case("https://[2001:db8::1]/")]
#[case("https://[64:ff9b::10.0.0.7]/")]
#[case("https://siem.example/redfish")]
#[case("http://127.0.0.1.example/")]
#[case("http://localhost.example/")]
#[case("http://10.0.0.7:8080/")]
fn ordinary_and_private_places_are_allowed(#[case] url: &str) {
    assert_eq!(judged(&guard("", ""), url), Ok(()));
}

#[test]
fn loopback_is_allowed_by_an_entry_within_it_and_restricts_nothing_else() {
    let guard = guard("127.0.0.0/8, ::1", "");
    for url in [
        "http://127.0.0.1:9800/",
        "http://0x7f.1/",
        "http://[::1]:9800/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost:9800/",
        "http://10.0.0.7/",
        "https://siem.example/",
    ] {
        assert_eq!(judged(&guard, url), Ok(()), "{url}");
    }
    // A translator's loopback is not this machine's.
    for url in [
        "http://[64:ff9b::127.0.0.1]/",
        "http://169.254.169.254/",
        "http://0.0.0.0/",
    ] {
        assert!(judged(&guard, url).is_err(), "{url}");
    }
}

#[test]
fn holdfasts_own_listeners_are_refused_even_where_loopback_is_allowed() {
    let guard = guard("127.0.0.0/8, ::1", "");
    for url in [
        "http://127.0.0.1:8080/events/x",
        "http://127.0.0.9:8080/",
        "http://[::1]:8080/",
        "https://[::1]:8443/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://192.0.2.7:9090/",
    ] {
        assert!(matches!(judged(&guard, url), Err(Blocked::Own(_))), "{url}");
    }
    // A listener on one address leaves the port free on others.
    for url in ["http://127.0.0.1:9090/", "http://192.0.2.8:9090/", "http://127.0.0.1/"] {
        assert_eq!(judged(&guard, url), Ok(()), "{url}");
    }
    let connected = |local: &str, remote: &str| {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        guard.judge_connection(address(local), address(remote))
    };
    // Whatever interface it is: both ends are this machine's.
    assert!(matches!(
        connected("10.0.0.5:40000", "10.0.0.5:8080"),
        Err(Blocked::Own(_))
    ));
    assert!(matches!(
        connected("[::ffff:10.0.0.5]:40000", "10.0.0.5:8443"),
        Err(Blocked::Own(_))
    ));
    assert_eq!(connected("10.0.0.5:40000", "10.0.0.5:9000"), Ok(()));
    assert_eq!(connected("10.0.0.5:40000", "10.0.0.6:8080"), Ok(()));
    assert!(matches!(
        connected("10.0.0.5:40000", "169.254.169.254:80"),
        Err(Blocked::Range { .. })
    ));
}

/// allow; deny; then what is allowed; and what is not
#[rstest]
#[case("10.0.0.0/8", "", &["http://10.9.9.9/", "http://[::ffff:10.1.1.1]/", "http://maybe.example/"],
    &["http://192.168.0.1/", "http://8.8.8.8/", "http://[fd12::1]/", "http://[64:ff9b::10.0.0.1]/"])]
#[case("*.siem.example, 10.0.0.7", "", &["https://a.siem.example/", "https://A.B.SIEM.example./", "http://10.0.0.7/"],
    &["http://10.0.0.8/"])]
#[case("*.siem.example", "", &["https://a.siem.example/"], &["https://siem.example/", "https://asiem.example/", "http://10.0.0.7/"])]
#[case("siem.example", "", &["https://siem.example/"], &["https://a.siem.example/", "https://other.example/"])]
#[case("", "10.0.0.0/8, *.bad.example", &["http://11.0.0.1/", "https://bad.example/"],
    &["http://10.1.2.3/", "http://0xa010203/", "http://[::ffff:10.1.2.3]/", "http://[64:ff9b::10.1.2.3]/",
      "http://[2002:a01:203::1]/", "https://x.bad.example/"])]
#[case("10.0.0.0/8", "10.1.0.0/16", &["http://10.2.0.1/"], &["http://10.1.0.1/"])]
#[case("127.0.0.0/8", "127.0.0.2", &["http://127.0.0.1/"], &["http://127.0.0.2/"])]
#[case("127.0.0.0/8, 10.0.0.0/8", "", &["http://127.0.0.1/", "http://10.0.0.1/"], &["http://11.0.0.1/"])]
fn lists_restrict(#[case] allow: &str, #[case] deny: &str, #[case] yes: &[&str], #[case] no: &[&str]) {
    let guard = guard(allow, deny);
    for url in yes {
        assert_eq!(judged(&guard, url), Ok(()), "{url}");
    }
    for url in no {
        let blocked = judged(&guard, url).expect_err(url);
        assert!(
            matches!(blocked, Blocked::Denied(_) | Blocked::NotAllowed(_)),
            "{url}: {blocked}"
        );
    }
}

#[test]
fn what_a_name_stands_for_is_judged_by_both_lists() {
    let judge = |allow: &str, deny: &str, name: &str, address: &str| {
        guard(allow, deny).judge_address(Some(name), address.parse().expect("an address"))
    };
    assert_eq!(judge("", "", "a.example", "10.0.0.7"), Ok(()));
    assert_eq!(judge("10.0.0.0/8", "", "a.example", "10.0.0.7"), Ok(()));
    assert!(judge("10.0.0.0/8", "", "a.example", "11.0.0.7").is_err());
    assert_eq!(judge("a.example", "", "a.example", "11.0.0.7"), Ok(()));
    assert!(judge("a.example", "11.0.0.0/8", "a.example", "11.0.0.7").is_err());
    // An allowed name that was pointed at this machine, or at the cloud's metadata.
    for address in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "fe80::1",
    ] {
        assert!(judge("a.example", "", "a.example", address).is_err(), "{address}");
    }
    assert_eq!(judge("127.0.0.0/8", "", "a.example", "127.0.0.1"), Ok(()));
}

#[test]
fn lists_read_back_as_written_and_say_what_is_wrong() {
    let text = "10.0.0.0/8,10.0.0.7/32,::1/128,siem.example,*.b.example";
    let entries: Entries = " 10.1.2.3/8 , 10.0.0.7,[::1],SIEM.example.,, *.b.example"
        .parse()
        .expect("a list");
    assert_eq!(entries.to_string(), text);
    let again: Entries = serde_json::from_value(serde_json::to_value(&entries).expect("JSON")).expect("a list");
    assert_eq!(again, entries);
    let listed: Entries = serde_json::from_str(r#"["10.0.0.0/8", "siem.example"]"#).expect("a list");
    assert_eq!(listed.to_string(), "10.0.0.0/8,siem.example");
    for wrong in [
        "10.0.0.0/33",
        "10.0.0",
        "10.0.0.256",
        "http://siem.example/",
        "*",
        "a..b",
        "*.*.b",
        "siem example",
        "é",
    ] {
        let error = wrong.parse::<Entries>().expect_err(wrong).to_string();
        assert!(error.contains("siem.example"), "{error}");
    }
    for futile in [
        "169.254.169.254",
        "224.0.0.0/4",
        "0.0.0.0",
        "fe80::/10",
        "100.100.100.200",
        "255.255.255.255",
    ] {
        assert!(futile.parse::<Entry>().expect("an entry").is_futile(), "{futile}");
    }
    for useful in ["127.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "a.example"] {
        assert!(!useful.parse::<Entry>().expect("an entry").is_futile(), "{useful}");
    }
}
