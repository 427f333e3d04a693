//! Signatures against vectors computed elsewhere.

use super::*;

/// The bytes 0 to 31.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn signatures_are_those_of_an_independent_implementation() {
    // Python: base64.b64encode(hmac.new(bytes(range(32)), b"<id>.1795389052." + body, "sha256").digest())
    let signer = Signer::new(SECRET).expect("a secret");
    let id = "k7m2q9xw.0.1795389052775-0";
    for (body, expected) in [
        (r#"{"Events":[]}"#, "v1,XNE5LlGl4PKkjm5syIoTPX0F0tgA+XW/tYZ2a2AECz8="),
        ("Temp\u{e9}rature", "v1,jwzR0HNROhaaExb36c2CXp5iE7cref8hUc2/e255ZxQ="),
    ] {
        assert_eq!(signer.sign(id, 1_795_389_052, body.as_bytes()), expected);
    }
}

#[test]
fn the_vector_of_the_reference_libraries_holds() {
    let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    assert_eq!(
        signer.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#
        ),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
}

#[test]
fn secrets_are_checked_and_never_shown() {
    let error = |secret: &str| Signer::new(secret).expect_err(secret);
    let of_length = |length: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7_u8; length]));
    assert_eq!(error("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), SecretError::NoPrefix);
    assert_eq!(error("whsec_not base64!"), SecretError::NotBase64);
    assert_eq!(error(&of_length(23)), SecretError::Length { found: 23 });
    assert_eq!(error(&of_length(65)), SecretError::Length { found: 65 });
    assert!(Signer::new(&of_length(24)).is_ok() && Signer::new(&of_length(64)).is_ok());
    assert!(
        Signer::new(SECRET.trim_end_matches('=')).is_ok(),
        "padding may be absent"
    );
    assert_eq!(
        format!("{:?}", Signer::new(SECRET).expect("a secret")),
        "Signer(••••••)"
    );
    assert!(!error("whsec_hunter2!").to_string().contains("hunter2"));
}
