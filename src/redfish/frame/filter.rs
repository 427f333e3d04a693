//! The expressions of `$filter`: comparisons of properties with `and`, `or`, `not` and parentheses (DSP0266,
//! "The $filter query parameter"), for collections and for streams of events.

use serde_json::Value;

/// Parentheses and `not`s inside each other, at most: each costs a stack frame.
const DEPTH: usize = 32;
/// Words of an expression, at most.
const WORDS: usize = 1024;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// What the other is not.
    Not(Box<Expression>),
    /// All of them.
    And(Vec<Expression>),
    /// At least one of them.
    Or(Vec<Expression>),
    /// A property compared with a literal.
    Compare {
        /// The property's path, as in `Status/State`.
        property: Vec<String>,
        /// How.
        operator: Operator,
        /// A text, number, truth value or null.
        literal: Value,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

/// Reads an expression; `None` when it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Expression> {
    let words = words(text)?;
    let mut parser = Parser {
        words: &words,
        at: 0,
        depth: 0,
    };
    let expression = parser.any_of()?;
    (parser.at == words.len() && !words.is_empty()).then_some(expression)
}

impl Expression {
    /// Whether a resource matches. A property that is not there equals `null`; of a list, one element is enough.
    #[must_use]
    pub fn matches(&self, resource: &Value) -> bool {
        match self {
            Self::Not(inner) => !inner.matches(resource),
            Self::And(parts) => parts.iter().all(|part| part.matches(resource)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(resource)),
            Self::Compare {
                property,
                operator,
                literal,
            } => {
                let found = property
                    .iter()
                    .try_fold(resource, |value, name| value.get(name.as_str()));
                match found.unwrap_or(&Value::Null) {
                    Value::Array(items) => items.iter().any(|item| operator.holds(item, literal)),
                    value => operator.holds(value, literal),
                }
            }
        }
    }
}

impl Operator {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn holds(self, value: &Value, literal: &Value) -> bool {
        let order = match (value, literal) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (a, b) if a == b => Some(std::cmp::Ordering::Equal),
            _ => None,
        };
        match self {
            Self::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            Self::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
            Self::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
            Self::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        }
    }
}

/// A parenthesis, a literal, or a bare word.
#[derive(Debug, PartialEq)]
enum Word {
    Open,
    Close,
    Literal(Value),
    Bare(String),
}

/// Splits the text; `None` where a quote is not closed or there is too much.
fn words(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '(' => (Word::Open, &rest[1..]),
            ')' => (Word::Close, &rest[1..]),
            '\'' => {
                let (literal, after) = quoted(&rest[1..])?;
                (Word::Literal(literal.into()), after)
            }
            _ => {
                let end = rest.find([' ', '\t', '(', ')', '\'']).unwrap_or(rest.len());
                (bare(&rest[..end]), &rest[end..])
            }
        };
        words.push(word);
        if words.len() > WORDS {
            return None;
        }
        rest = after.trim_start();
    }
    Some(words)
}

/// A text up to its closing quote; a quote inside it is written twice.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut literal = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('\'')?;
        literal.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                literal.push('\'');
                rest = more;
            }
            None => return Some((literal, after)),
        }
    }
}

fn bare(word: &str) -> Word {
    match serde_json::from_str(word) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => Word::Literal(value),
        _ => Word::Bare(word.to_owned()),
    }
}

/// Recursive descent: `or` binds weakest, `not` strongest.
struct Parser<'a> {
    words: &'a [Word],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn any_of(&mut self) -> Option<Expression> {
        let mut parts = vec![self.all_of()?];
        while self.keyword("or") {
            parts.push(self.all_of()?);
        }
        Some(single(parts, Expression::Or))
    }

    fn all_of(&mut self) -> Option<Expression> {
        let mut parts = vec![self.one()?];
        while self.keyword("and") {
            parts.push(self.one()?);
        }
        Some(single(parts, Expression::And))
    }

    fn one(&mut self) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let expression = if self.keyword("not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.next_if(&Word::Open) {
            let inner = self.any_of()?;
            self.next_if(&Word::Close).then_some(inner)?
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Some(expression)
    }

    fn comparison(&mut self) -> Option<Expression> {
        let [Word::Bare(property), Word::Bare(operator), Word::Literal(literal)] =
            self.words.get(self.at..self.at + 3)?
        else {
            return None;
        };
        self.at += 3;
        Some(Expression::Compare {
            property: property.split('/').map(str::to_owned).collect(),
            operator: Operator::named(operator)?,
            literal: literal.clone(),
        })
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.next_if(&Word::Bare(word.to_owned()))
    }

    fn next_if(&mut self, word: &Word) -> bool {
        let is_next = self.words.get(self.at) == Some(word);
        self.at += usize::from(is_next);
        is_next
    }
}

fn single(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { many(parts) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_match_as_they_read() {
        let role = json!({
            "Id": "Operator", "IsPredefined": true, "Count": 3, "Status": {"State": "Enabled"},
            "AssignedPrivileges": ["Login", "ConfigureSelf"], "Name": "O'Brien's"
        });
        for (text, expected) in [
            ("Id eq 'Operator'", true),
            ("not (Id eq 'Operator')", false),
            ("not Id eq 'Operator' or Count ge 3", true),
            ("Id eq 'x' or Id eq 'Operator' and Count gt 3", false),
            ("(Id eq 'x' or Id eq 'Operator') and Count lt 4.5", true),
            ("Status/State eq 'Enabled'", true),
            ("Status/Health eq null", true),
            ("Status/Health ne 'OK'", true),
            ("AssignedPrivileges eq 'Login'", true),
            ("AssignedPrivileges eq 'ConfigureUsers'", false),
            ("IsPredefined eq true and Name eq 'O''Brien''s'", true),
            ("Count gt 'a'", false),
        ] {
            let expression = parse(text).unwrap_or_else(|| panic!("{text} is an expression"));
            assert_eq!(expression.matches(&role), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let deep = format!("{}Id eq 1{}", "(".repeat(5000), ")".repeat(5000));
        let long = vec!["Id eq 1"; 5000].join(" or ");
        for text in [
            "",
            "Id",
            "Id eq",
            "Id eq x",
            "Id like 'x'",
            "(Id eq 1",
            "Id eq 1)",
            "Id eq 'x",
            "and",
            "not",
            &deep,
            &long,
            "Id eq 1 Id eq 2",
        ] {
            assert_eq!(parse(text), None, "{}", &text[..text.len().min(40)]);
        }
    }
}
