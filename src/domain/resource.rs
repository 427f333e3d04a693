//! Resource URIs and the types they stand for.
//!
//! `OriginOfCondition` says where an event comes from; `OriginResources`, `ResourceTypes` and
//! `MetricReportDefinitions` filter on it. Controllers write it with and without a host, a trailing slash
//! or a fragment; here all spellings become one.

/// A resource URI in the form that is compared: no scheme, no authority, no trailing `/` or `#`.
///
/// Case counts, as in every Redfish URI. A fragment names a member inside a resource and is kept. Both
/// filters and events are brought into this form; nothing is allocated.
#[must_use]
pub fn canonical(uri: &str) -> &str {
    let uri = uri.trim();
    let path = match uri.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("", |slash| &rest[slash..]),
        _ => uri,
    };
    path.trim_end_matches(['/', '#'])
}

/// Whether `uri` is `ancestor` or lies beneath it, by path segments. A fragment counts as a segment, so
/// `/redfish/v1/Chassis/1/Power#/Fans/0` lies beneath `/redfish/v1/Chassis/1`. Both must be canonical.
#[must_use]
pub fn is_within(uri: &str, ancestor: &str) -> bool {
    uri.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '#']))
}

/// `uri` and everything above it, nearest first. `uri` must be canonical.
pub fn ancestry(uri: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(uri), |uri| {
        let parent = &uri[..uri.rfind(['/', '#'])?];
        // In `…/Power#/Fans` a slash follows the hash; both mark one step.
        Some(parent.strip_suffix('#').unwrap_or(parent))
    })
}

/// The unversioned schema name in an `@odata.type`: `#EthernetInterface.v1_6_4.EthernetInterface` is of
/// type `EthernetInterface`.
#[must_use]
pub fn type_of_odata(odata_type: &str) -> Option<&str> {
    let name = odata_type.trim().trim_start_matches('#');
    let name = name.split_once('.').map_or(name, |(namespace, _)| namespace);
    (!name.is_empty()).then_some(name)
}

/// The unversioned schema name that a URI of the Redfish data model implies (DSP0268 lists the URIs of
/// each schema): a member of a collection is of the collection's member type, the collection itself of that
/// type with `Collection` after it, and any other resource is named like its schema (`Power`, `Bios`).
///
/// The fragment is ignored: `…/Power#/PowerSupplies/0` is part of a `Power` resource. `uri` must be canonical.
#[must_use]
pub fn type_of_uri(uri: &str) -> Option<String> {
    let path = uri.split_once('#').map_or(uri, |(path, _)| path);
    let mut segments = path.rsplit('/').filter(|segment| !segment.is_empty());
    let last = segments.next()?;
    let before = segments.next();
    if before == Some("redfish") {
        return Some("ServiceRoot".to_owned());
    }
    if let Some(member) = before.and_then(member_type) {
        return Some(member.to_owned());
    }
    Some(member_type(last).map_or_else(|| last.to_owned(), |member| format!("{member}Collection")))
}

/// The type of the members of a collection, by the last segment of the collection's URI.
fn member_type(collection: &str) -> Option<&'static str> {
    let found = COLLECTIONS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(collection))?;
    Some(found.1)
}

/// Collections of the data model and their members' types. Grouped as hardware reports events, so that the
/// search is short for the common ones.
const COLLECTIONS: &[(&str, &str)] = &[
    ("Systems", "ComputerSystem"),
    ("Chassis", "Chassis"),
    ("Managers", "Manager"),
    ("Processors", "Processor"),
    ("Memory", "Memory"),
    ("Drives", "Drive"),
    ("Volumes", "Volume"),
    ("Storage", "Storage"),
    ("Controllers", "StorageController"),
    ("EthernetInterfaces", "EthernetInterface"),
    ("NetworkInterfaces", "NetworkInterface"),
    ("NetworkAdapters", "NetworkAdapter"),
    ("NetworkPorts", "NetworkPort"),
    ("NetworkDeviceFunctions", "NetworkDeviceFunction"),
    ("Ports", "Port"),
    ("PCIeDevices", "PCIeDevice"),
    ("PCIeFunctions", "PCIeFunction"),
    ("GraphicsControllers", "GraphicsController"),
    ("USBControllers", "USBController"),
    ("Sensors", "Sensor"),
    ("Fans", "Fan"),
    ("Pumps", "Pump"),
    ("PowerSupplies", "PowerSupply"),
    ("Batteries", "Battery"),
    ("LeakDetectors", "LeakDetector"),
    ("LogServices", "LogService"),
    ("Entries", "LogEntry"),
    ("VirtualMedia", "VirtualMedia"),
    ("HostInterfaces", "HostInterface"),
    ("SerialInterfaces", "SerialInterface"),
    ("SimpleStorage", "SimpleStorage"),
    ("StoragePools", "StoragePool"),
    ("StorageGroups", "StorageGroup"),
    ("StorageServices", "StorageService"),
    ("MemoryDomains", "MemoryDomain"),
    ("MemoryChunks", "MemoryChunks"),
    ("BootOptions", "BootOption"),
    ("SecureBootDatabases", "SecureBootDatabase"),
    ("TrustedComponents", "TrustedComponent"),
    ("Certificates", "Certificate"),
    ("FirmwareInventory", "SoftwareInventory"),
    ("SoftwareInventory", "SoftwareInventory"),
    ("Tasks", "Task"),
    ("TaskMonitors", "Task"),
    ("Jobs", "Job"),
    ("Sessions", "Session"),
    ("Accounts", "ManagerAccount"),
    ("Roles", "Role"),
    ("Subscriptions", "EventDestination"),
    ("Registries", "MessageRegistryFile"),
    ("JsonSchemas", "JsonSchemaFile"),
    ("MetricReports", "MetricReport"),
    ("MetricReportDefinitions", "MetricReportDefinition"),
    ("MetricDefinitions", "MetricDefinition"),
    ("Triggers", "Triggers"),
    ("Fabrics", "Fabric"),
    ("Switches", "Switch"),
    ("Endpoints", "Endpoint"),
    ("EndpointGroups", "EndpointGroup"),
    ("Zones", "Zone"),
    ("Connections", "Connection"),
    ("AddressPools", "AddressPool"),
    ("Aggregates", "Aggregate"),
    ("AggregationSources", "AggregationSource"),
    ("ConnectionMethods", "ConnectionMethod"),
    ("ResourceBlocks", "ResourceBlock"),
    ("RackPDUs", "PowerDistribution"),
    ("FloorPDUs", "PowerDistribution"),
    ("PowerShelves", "PowerDistribution"),
    ("Switchgear", "PowerDistribution"),
    ("TransferSwitches", "PowerDistribution"),
    ("ElectricalBuses", "PowerDistribution"),
    ("Outlets", "Outlet"),
    ("OutletGroups", "OutletGroup"),
    ("Circuits", "Circuit"),
    ("Branches", "Circuit"),
    ("Feeders", "Circuit"),
    ("Mains", "Circuit"),
    ("Subfeeds", "Circuit"),
    ("CDUs", "CoolingUnit"),
    ("HeatExchangers", "CoolingUnit"),
    ("ImmersionUnits", "CoolingUnit"),
    ("CoolingLoops", "CoolingLoop"),
    ("Facilities", "Facility"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/redfish/v1/Systems/1", "/redfish/v1/Systems/1")]
    #[case("/redfish/v1/Systems/1/", "/redfish/v1/Systems/1")]
    #[case("https://10.0.0.9/redfish/v1/Systems/1/", "/redfish/v1/Systems/1")]
    #[case("https://10.0.0.9", "")]
    #[case("/redfish/v1/Chassis/1/Power#/Fans/0", "/redfish/v1/Chassis/1/Power#/Fans/0")]
    #[case("/redfish/v1/Chassis/1/Power#", "/redfish/v1/Chassis/1/Power")]
    #[case("/a?next=http://b/c", "/a?next=http://b/c")]
    #[case("/", "")]
    fn spellings_become_one(#[case] given: &str, #[case] expected: &str) {
        assert_eq!(canonical(given), expected);
    }

    #[test]
    fn descendants_are_found_by_segments() {
        let system = "/redfish/v1/Systems/1";
        assert!(is_within(system, system));
        assert!(is_within("/redfish/v1/Systems/1/Memory/2", system));
        assert!(is_within("/redfish/v1/Systems/1#/Boot", system));
        assert!(!is_within("/redfish/v1/Systems/10", system));
        assert!(!is_within("/redfish/v1/Systems", system));
        assert!(is_within(system, ""));
    }

    #[test]
    fn every_step_upwards_is_an_ancestor() {
        let uri = "/redfish/v1/Chassis/1/Power#/Fans/0";
        let steps: Vec<&str> = ancestry(uri).collect();
        assert!(steps.iter().all(|step| is_within(uri, step)), "{steps:?}");
        assert_eq!(steps[2], "/redfish/v1/Chassis/1/Power");
        assert_eq!(steps.last(), Some(&""));
        assert_eq!(steps.len(), 8);
    }

    #[rstest]
    #[case("/redfish/v1/Systems/1", "ComputerSystem")]
    #[case("/redfish/v1/Systems", "ComputerSystemCollection")]
    #[case("/redfish/v1/Systems/1/Storage/1/Drives/HDD255", "Drive")]
    #[case("/redfish/v1/Chassis/1/Power#/PowerSupplies/0", "Power")]
    #[case("/redfish/v1/Systems/1/Bios", "Bios")]
    #[case("/redfish/v1/Managers/BMC/LogServices/EventLog/Entries/532", "LogEntry")]
    #[case("/redfish/v1/PowerEquipment/RackPDUs/1/Outlets/BA35", "Outlet")]
    #[case("/redfish/v1/Chassis/Memory", "Chassis")]
    #[case("/redfish/v1", "ServiceRoot")]
    fn uris_imply_types(#[case] uri: &str, #[case] expected: &str) {
        assert_eq!(type_of_uri(uri).as_deref(), Some(expected));
    }

    #[test]
    fn types_lose_their_versions() {
        assert_eq!(
            type_of_odata("#EthernetInterface.v1_6_4.EthernetInterface"),
            Some("EthernetInterface")
        );
        assert_eq!(type_of_odata("Task"), Some("Task"));
        assert_eq!(type_of_odata("#"), None);
        assert_eq!(type_of_uri(""), None);
    }
}
