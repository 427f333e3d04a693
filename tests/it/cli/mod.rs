//! The command line as an operator meets it: the real binary, its output and its exit code.

mod dead_letters;
mod doctor;
mod find;
mod limits;
mod outputs;
mod publish;
mod run;
mod secrets;
mod status;
mod subscriptions;
mod trial;
mod wording;
mod worker;

/// An event that everybody wants.
const EVENT: &str = r#"{"Id":"1","Events":[{"MessageId":"Base.1.0.Test","MessageSeverity":"Critical"}]}"#;
