//! The Redfish service.
