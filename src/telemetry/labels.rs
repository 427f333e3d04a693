//! The label values of the metrics: closed sets, so that no input can make new series.
//!
//! Used by the worker and the API to say what happened, by [`super::metrics`] to name it.

/// Makes an enum whose variants are label values.
macro_rules! labels {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The text of the label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

labels! {
    /// What one attempt to deliver came to.
    Outcome {
        /// Answered 2xx.
        Delivered = "delivered",
        /// The subscriber could not take it: parked.
        Unavailable = "unavailable",
        /// The subscriber answered and did not want this one.
        Refused = "refused",
        /// Answered 410: the subscription is suspended.
        Gone = "gone",
    }
}

labels! {
    /// Why an attempt came to its outcome.
    Reason {
        /// 2xx.
        Ok = "ok",
        /// The connection was refused or could not be made.
        Connect = "connect",
        /// The connection broke before the answer was whole.
        Reset = "reset",
        /// No whole answer within the deadline.
        Timeout = "timeout",
        /// The host name has no address.
        Dns = "dns",
        /// The TLS handshake or the certificate failed.
        Tls = "tls",
        /// The address is one that may not be connected to.
        Blocked = "blocked",
        /// 3xx.
        Redirect = "http_3xx",
        /// 408.
        RequestTimeout = "http_408",
        /// 410.
        Gone = "http_410",
        /// 425.
        TooEarly = "http_425",
        /// 429.
        TooManyRequests = "http_429",
        /// Any other 4xx.
        ClientError = "http_4xx",
        /// 5xx.
        ServerError = "http_5xx",
        /// Anything else, an answer that is no HTTP among them.
        Other = "other",
    }
}

labels! {
    /// Where a delivery ended up.
    DeliveryResult {
        /// With its subscriber.
        Delivered = "delivered",
        /// In its retry queue.
        Parked = "parked",
        /// Among the dead letters.
        DeadLettered = "dead_lettered",
        /// In a file, beyond a subscription's limit.
        Overflowed = "overflowed",
    }
}

labels! {
    /// Which limit of a subscription moved a delivery.
    LimitKind {
        /// More were parked than allowed.
        MaxParked = "max_parked",
        /// It was parked for too long.
        MaxAge = "max_age",
    }
}

labels! {
    /// Why an event was not taken in.
    IntakeRefusal {
        /// Redis is near its memory limit (503).
        Memory = "memory",
        /// Redis did not answer in time (503).
        Redis = "redis",
        /// Too few replicas of Redis had it in time (503).
        Replicas = "replicas",
        /// Too many requests or bytes already wait (503).
        Overloaded = "overloaded",
        /// The body is larger than allowed (413).
        TooLarge = "too_large",
        /// The body did not arrive in time (408).
        Slow = "slow",
        /// The body is no Redfish event (400).
        Malformed = "malformed",
        /// No token of the source was sent (401).
        Unauthorized = "unauthorized",
        /// More events a second than are allowed (429).
        RateLimited = "rate_limited",
    }
}

labels! {
    /// Which certificate, of those that are given as files or made.
    Certificate {
        /// The one that the Redfish service shows.
        Redfish = "redfish",
        /// The one that intake shows.
        Intake = "intake",
        /// The authorities whose certificates intake's clients show.
        IntakeClients = "intake_clients",
        /// The authorities trusted for Redis.
        RedisAuthorities = "redis_authorities",
    }
}

labels! {
    /// What a request to the Redfish service was for.
    RedfishResource {
        /// The root, metadata, schemas and registries.
        Service = "service",
        /// Sessions and their service.
        Sessions = "sessions",
        /// Accounts, roles and their service.
        Accounts = "accounts",
        /// The EventService and its actions.
        EventService = "event_service",
        /// Subscriptions, their actions and certificates.
        Subscriptions = "subscriptions",
        /// The stream of events.
        Stream = "stream",
        /// Nothing that there is.
        Nowhere = "nowhere",
    }
}

labels! {
    /// The class of an answer's status.
    StatusClass {
        /// It was done.
        Success = "2xx",
        /// Nothing has changed.
        Redirection = "3xx",
        /// The client was told what is wrong.
        ClientError = "4xx",
        /// The service could not.
        ServerError = "5xx",
    }
}

labels! {
    /// Why a login was refused.
    FailedLogin {
        /// The password was wrong.
        Password = "password",
        /// There is no such account.
        Unknown = "unknown",
        /// The account is locked.
        Locked = "locked",
        /// The account is disabled.
        Disabled = "disabled",
    }
}

labels! {
    /// Which way a delivery took.
    Path {
        /// Sent straight after the event was read.
        Direct = "direct",
        /// Sent from the retry queue.
        Retry = "retry",
    }
}

labels! {
    /// What kind of failure a Redis command met.
    RedisErrorKind {
        /// No connection, or it broke.
        Connection = "connection",
        /// No answer in time.
        Timeout = "timeout",
        /// The memory limit is reached.
        OutOfMemory = "oom",
        /// The user may not run the command.
        Permission = "permission",
        /// A cluster slot moves, or a replica was asked: `MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, `READONLY`.
        Topology = "topology",
        /// The stream or its group is gone.
        NoGroup = "nogroup",
        /// Anything else.
        Other = "other",
    }
}

labels! {
    /// How a subscription stands; its number is the gauge's value, worse is higher.
    CircuitState {
        /// Direct deliveries flow.
        Closed = "closed",
        /// Behind with a closed circuit: its queue is being drained.
        Draining = "draining",
        /// Probed once per wait period.
        Open = "open",
        /// Nothing is sent until it is resumed.
        Suspended = "suspended",
    }
}
