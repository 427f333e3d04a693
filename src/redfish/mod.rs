//! The Redfish service.

mod eventing;
