//! The members of a request's body, read strictly: each is taken by its name and type, what is left is refused.
//!
//! Every problem is collected, so that a client learns all of them at once.

use serde_json::{Map, Value};

use super::failure::Failure;
use super::message::{self, Message};

/// Values longer than this are cut in messages, in characters.
const SHOWN: usize = 64;

/// A body that is being read.
#[derive(Debug, Default)]
pub struct Fields {
    members: Map<String, Value>,
    problems: Vec<Message>,
}

impl Fields {
    /// Of a body; annotations such as `@odata.id` are passed over.
    #[must_use]
    pub fn new(mut members: Map<String, Value>) -> Self {
        members.retain(|name, _| !name.contains('@'));
        Self {
            members,
            problems: Vec::new(),
        }
    }

    /// Whether nothing is (or is left) in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a member is there, and not taken yet.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Takes a member as it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.members.shift_remove(name)
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, |value| value.as_str().map(str::to_owned))
    }

    /// Takes a text that may not be shown in a message.
    pub fn secret(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.refuse(name, message::property_value_error(name));
                None
            }
        }
    }

    /// Takes a flag.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, Value::as_bool)
    }

    /// Notes that a member is missing.
    pub fn require<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        let noted = self.problems.iter().any(|problem| problem.is_about(&pointer(name)));
        if value.is_none() && !noted {
            self.refuse(name, message::property_missing(name));
        }
        value
    }

    /// Takes members that are known and can't be set.
    pub fn read_only(&mut self, names: &[&str]) {
        for name in names {
            if self.take(name).is_some() {
                self.refuse(name, message::property_not_writable(name));
            }
        }
    }

    /// Notes what is wrong with a member.
    pub fn refuse(&mut self, name: &str, problem: Message) {
        self.problems.push(problem.about(pointer(name)));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 naming everything that was wrong, and every member that nobody took.
    pub fn finish(mut self) -> Result<(), Failure> {
        let unknown: Vec<String> = self.members.keys().cloned().collect();
        for name in unknown {
            self.refuse(&name, message::property_unknown(&name));
        }
        Failure::unless_empty(self.problems)
    }

    fn typed<T>(&mut self, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.take(name)?;
        let typed = read(&value);
        if typed.is_none() {
            self.refuse(name, message::property_value_type(shown(&value), name));
        }
        typed
    }
}

/// A value as a message shows it: cut where it is long.
#[must_use]
pub fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn pointer(name: &str) -> String {
    format!("#/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(body: Value) -> Fields {
        let Value::Object(members) = body else { unreachable!() };
        Fields::new(members)
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let mut fields = fields(json!({"Enabled": 1, "Id": "x", "Bogus": {}, "@odata.id": "/x"}));
        assert_eq!(fields.flag("Enabled"), None);
        let missing = fields.text("UserName");
        fields.require("UserName", missing);
        fields.read_only(&["Id", "Name"]);
        let failure = fields.finish().expect_err("four problems");
        let ids: Vec<String> = failure.messages.iter().map(Message::id).collect();
        assert_eq!(
            ids.join(" "),
            "Base.1.22.PropertyValueTypeError Base.1.22.PropertyMissing Base.1.22.PropertyNotWritable \
             Base.1.22.PropertyUnknown"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_called_missing_too() {
        let mut fields = fields(json!({"Password": 1}));
        let password = fields.secret("Password");
        fields.require("Password", password);
        assert_eq!(fields.finish().expect_err("one problem").messages.len(), 1);
    }
}
