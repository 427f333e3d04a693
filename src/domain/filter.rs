//! Which records a subscription wants.

use serde::{Deserialize, Serialize};

/// The filters of an EventDestination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {}
