//! The messages of Redfish's Base registry that the service answers with (DSP0266, "Extended information").
//!
//! One function a message, named after its key. Identifiers, texts, severities and resolutions are those of DMTF's
//! registry Base 1.22.1.

use serde_json::{Value, json};

/// The registry and the version that message ids begin with.
const REGISTRY: &str = "Base.1.22";

/// One message with its arguments filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    key: &'static str,
    text: String,
    arguments: Box<[String]>,
    severity: &'static str,
    resolution: String,
    about: Option<Box<str>>,
}

impl Message {
    /// Names the property that it is about, as a JSON pointer in a fragment: `#/RoleId`.
    #[must_use]
    pub fn about(mut self, pointer: impl Into<String>) -> Self {
        self.about = Some(pointer.into().into());
        self
    }

    /// Says what to do in the service's own words.
    #[must_use]
    pub fn advise(mut self, resolution: impl Into<String>) -> Self {
        self.resolution = resolution.into();
        self
    }

    /// Whether it is about that property.
    #[must_use]
    pub fn is_about(&self, pointer: &str) -> bool {
        self.about.as_deref() == Some(pointer)
    }

    /// Its id: `Base.1.22.PropertyUnknown`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{REGISTRY}.{}", self.key)
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As an element of `@Message.ExtendedInfo`.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut message = json!({
            "@odata.type": "#Message.v1_3_0.Message",
            "MessageId": self.id(),
            "Message": self.text,
            "MessageArgs": self.arguments,
            "MessageSeverity": self.severity,
            "Resolution": self.resolution,
        });
        if let Some(about) = &self.about {
            message["RelatedProperties"] = json!([about]);
        }
        message
    }
}

macro_rules! messages {
    ($($(#[$about:meta])* $name:ident($($argument:ident),*) = $key:literal, $severity:literal, $text:literal, $resolution:literal;)+) => {
        $(
            $(#[$about])*
            #[must_use]
            pub fn $name($($argument: impl ToString),*) -> Message {
                let arguments: Box<[String]> = Box::new([$($argument.to_string()),*]);
                Message {
                    key: $key,
                    text: filled($text, &arguments),
                    arguments: arguments.into(),
                    severity: $severity,
                    resolution: $resolution.to_owned(),
                    about: None,
                }
            }
        )+
    };
}

/// The text with `%1`, `%2`, … replaced. An argument that holds such a thing itself stays as it is.
fn filled(text: &str, arguments: &[String]) -> String {
    let mut parts = text.split('%');
    let mut full = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = part.bytes().next().map_or(0, |byte| byte.wrapping_sub(b'0'));
        match arguments.get(usize::from(number).wrapping_sub(1)) {
            Some(argument) => full.push_str(argument),
            None => full.push('%'),
        }
        full.push_str(part.get(1..).unwrap_or_default());
    }
    full
}

messages! {
    /// The body holds nothing to change.
    no_operation() = "NoOperation", "Warning",
        "The request body submitted contain no data to act upon and no changes to the resource took place.",
        "Add properties in the JSON object and resubmit the request.";
    /// No such property.
    property_unknown(name) = "PropertyUnknown", "Warning",
        "The property %1 is not in the list of valid properties for the resource.",
        "Remove the unknown property from the request body and resubmit the request if the operation failed.";
    /// A value of another type.
    property_value_type(value, name) = "PropertyValueTypeError", "Warning",
        "The value '%1' for the property %2 is not a type that the property can accept.",
        "Correct the value for the property in the request body and resubmit the request if the operation failed.";
    /// A value of another form.
    property_value_format(value, name) = "PropertyValueFormatError", "Warning",
        "The value '%1' for the property %2 is not a format that the property can accept.",
        "Correct the value for the property in the request body and resubmit the request if the operation failed.";
    /// None of the allowed values.
    property_value_not_in_list(value, name) = "PropertyValueNotInList", "Warning",
        "The value '%1' for the property %2 is not in the list of acceptable values.",
        "Choose a value from the enumeration list that the implementation can support and resubmit the request if the operation failed.";
    /// A number too small or too large.
    property_value_out_of_range(value, name) = "PropertyValueOutOfRange", "Warning",
        "The value '%1' for the property %2 is not in the supported range of acceptable values.",
        "Correct the value for the property in the request body and resubmit the request if the operation failed.";
    /// A value that won't do, and that must not be repeated.
    property_value_error(name) = "PropertyValueError", "Warning",
        "The value provided for the property %1 is not valid.",
        "Correct the value for the property in the request body and resubmit the request if the operation failed.";
    /// A value that another one forbids.
    property_value_conflict(name, other) = "PropertyValueConflict", "Warning",
        "The property '%1' could not be written because its value would conflict with the value of the '%2' property.",
        "None.";
    /// A property that can't be set.
    property_not_writable(name) = "PropertyNotWritable", "Warning",
        "The property %1 is a read-only property and cannot be assigned a value.",
        "Remove the property from the request body and resubmit the request if the operation failed.";
    /// A property that must be there.
    property_missing(name) = "PropertyMissing", "Warning",
        "The property %1 is a required property and must be included in the request.",
        "Ensure that the property is in the request body and has a valid value and resubmit the request if the operation failed.";
    /// No JSON.
    malformed_json() = "MalformedJSON", "Critical",
        "The request body submitted was malformed JSON and could not be parsed by the receiving service.",
        "Ensure that the request body is valid JSON and resubmit the request.";
    /// No JSON object.
    unrecognized_body() = "UnrecognizedRequestBody", "Warning",
        "The service detected a malformed request body that it was unable to interpret.",
        "Correct the request body and resubmit the request if it failed.";
    /// A parameter that must be there.
    action_parameter_missing(action, name) = "ActionParameterMissing", "Critical",
        "The action %1 requires the parameter %2 to be present in the request body.",
        "Supply the action with the required parameter in the request body when the request is resubmitted.";
    /// No such parameter.
    action_parameter_unknown(action, name) = "ActionParameterUnknown", "Warning",
        "The action %1 was submitted with the invalid parameter %2.",
        "Correct the invalid action parameter and resubmit the request if the operation failed.";
    /// A parameter of another type.
    action_parameter_value_type(value, name, action) = "ActionParameterValueTypeError", "Warning",
        "The value '%1' for the parameter %2 in the action %3 is not a type that the parameter can accept.",
        "Correct the value for the parameter in the request body and resubmit the request if the operation failed.";
    /// A parameter of another form.
    action_parameter_value_format(value, name, action) = "ActionParameterValueFormatError", "Warning",
        "The value '%1' for the parameter %2 in the action %3 is not a format that the parameter can accept.",
        "Correct the value for the parameter in the request body and resubmit the request if the operation failed.";
    /// None of the allowed values.
    action_parameter_value_not_in_list(value, name, action) = "ActionParameterValueNotInList", "Warning",
        "The value '%1' for the parameter %2 in the action %3 is not in the list of acceptable values.",
        "Choose a value from the enumeration list that the implementation can support and resubmit the request if the operation failed.";
    /// A query parameter of another form.
    query_value_format(value, name) = "QueryParameterValueFormatError", "Warning",
        "The value '%1' for the parameter %2 is not a format that the parameter can accept.",
        "Correct the value for the query parameter in the request and resubmit the request if the operation failed.";
    /// A query parameter too small or too large.
    query_out_of_range(value, name, range) = "QueryParameterOutOfRange", "Warning",
        "The value '%1' for the query parameter %2 is out of range %3.",
        "Reduce the value for the query parameter to a value that is within range, such as a start or count value that is within bounds of the number of resources in a collection or a page number that is within the range of valid pages.";
    /// A query parameter that this resource can't have.
    query_not_supported_on_resource() = "QueryNotSupportedOnResource", "Warning",
        "Querying is not supported on the requested resource.",
        "Remove the query parameters and resubmit the request if the operation failed.";
    /// A query parameter that this method can't have.
    query_not_supported_on_operation() = "QueryNotSupportedOnOperation", "Warning",
        "Querying is not supported with the requested operation.",
        "Remove the query parameters and resubmit the request if the operation failed.";
    /// Query parameters that exclude each other.
    query_combination_invalid() = "QueryCombinationInvalid", "Warning",
        "Two or more query parameters in the request cannot be used together.",
        "Remove one or more of the query parameters and resubmit the request if the operation failed.";
    /// No such query parameter.
    query_unsupported(name) = "QueryParameterUnsupported", "Warning",
        "Query parameter '%1' is not supported.",
        "Correct or remove the query parameter and resubmit the request.";
    /// Too many sessions.
    session_limit() = "SessionLimitExceeded", "Critical",
        "The session establishment failed due to the number of simultaneous sessions exceeding the limit of the implementation.",
        "Reduce the number of other sessions before trying to establish the session or increase the limit of simultaneous sessions, if supported.";
    /// Too many subscriptions.
    subscription_limit() = "EventSubscriptionLimitExceeded", "Critical",
        "The event subscription failed due to the number of simultaneous subscriptions exceeding the limit of the implementation.",
        "Reduce the number of other subscriptions before trying to establish the event subscription or increase the limit of simultaneous subscriptions, if supported.";
    /// Too many of a kind.
    create_limit() = "CreateLimitReachedForResource", "Critical",
        "The create operation failed because the resource has reached the limit of possible resources.",
        "Either delete resources and resubmit the request if the operation failed or do not resubmit the request.";
    /// A name that is taken.
    already_exists(kind, name, value) = "ResourceAlreadyExists", "Critical",
        "The requested resource of type %1 with the property %2 with the value '%3' already exists.",
        "Do not repeat the create operation as the resource was already created.";
    /// Nothing at this URI.
    missing_at_uri(uri) = "ResourceMissingAtURI", "Critical",
        "The resource at the URI '%1' was not found.",
        "Place a valid resource at the URI or correct the URI and resubmit the request.";
    /// What must stay.
    cannot_be_deleted() = "ResourceCannotBeDeleted", "Critical",
        "The delete request failed because the resource requested cannot be deleted.",
        "Do not attempt to delete a non-deletable resource.";
    /// Too large a body.
    payload_too_large() = "PayloadTooLarge", "Critical",
        "The supplied payload exceeds the maximum size supported by the service.",
        "Check that the supplied payload is correct and supported by this service.";
    /// Nobody has logged in.
    no_valid_session() = "NoValidSession", "Critical",
        "There is no valid session established with the implementation.",
        "Establish a session before attempting any operations.";
    /// Wrong credentials.
    access_unauthorized() = "AccessUnauthorized", "Critical",
        "Unauthorized.",
        "Resubmit the request with valid credentials.";
    /// Not for this account.
    insufficient_privilege() = "InsufficientPrivilege", "Critical",
        "There are insufficient privileges for the account or credentials associated with the current session to perform the requested operation.",
        "Either abandon the operation or change the associated access rights and resubmit the request if the operation failed.";
    /// Too short or too long a password.
    password_length() = "PasswordIncorrectLength", "Critical",
        "The password provided for this account does not meet the password length requirements of the service.",
        "Resubmit the request with a password that meets the password length requirements as specified by the `MinPasswordLength` and `MaxPasswordLength` properties in the `AccountService` resource.";
    /// Logged in, with a password that must be changed first.
    password_change_required(uri) = "PasswordChangeRequired", "Critical",
        "The password provided for this account must be changed before access is granted.  PATCH the Password property for this account located at the target URI '%1' to complete this process.",
        "Change the password for this account using a PATCH to the Password property at the URI provided.";
    /// Another ETag.
    precondition_failed() = "PreconditionFailed", "Critical",
        "The ETag supplied did not match the ETag required to change this resource.",
        "Try the operation again using the appropriate ETag.";
    /// A header that won't do.
    header_invalid(name) = "HeaderInvalid", "Critical",
        "Header '%1' is invalid.",
        "Resubmit the request with a valid request header.";
    /// A method that this resource does not have.
    operation_not_allowed() = "OperationNotAllowed", "Critical",
        "The HTTP method is not allowed on this resource.",
        "None.";
    /// Switched off.
    service_disabled(uri) = "ServiceDisabled", "Warning",
        "The operation failed because the service at %1 is disabled and cannot accept requests.",
        "Enable the service and resubmit the request if the operation failed.";
    /// Later.
    unavailable(seconds) = "ServiceTemporarilyUnavailable", "Critical",
        "The service is temporarily unavailable.  Retry in %1 seconds.",
        "Wait for the indicated retry duration and retry the operation.";
    /// A fault of the service.
    internal_error() = "InternalError", "Critical",
        "The request failed due to an internal service error.  The service is still operational.",
        "Resubmit the request.  If the problem persists, consider resetting the service.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_filled_in_once() {
        let message = property_value_format("%2 and %1", "Destination");
        assert_eq!(
            message.text(),
            "The value '%2 and %1' for the property Destination is not a format that the property can accept."
        );
        assert_eq!(message.id(), "Base.1.22.PropertyValueFormatError");
    }
}
