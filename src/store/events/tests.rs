//! The decoder of stream entries against what a server, or something that is none, may answer.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Any answer, nested and odd.
fn answer() -> impl Strategy<Value = Value> {
    let bytes = vec(any::<u8>(), 0..12).prop_map(|bytes| Value::Bytes(bytes.into()));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Double),
        "[0-9]{0,22}-[0-9]{0,22}".prop_map(|id| Value::String(id.into())),
        ".{0,8}".prop_map(|text| Value::String(text.into())),
        bytes,
    ];
    leaf.prop_recursive(3, 24, 4, |inner| vec(inner, 0..5).prop_map(Value::Array))
}

fn bytes(text: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(text))
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(value in answer(), times in any::<u32>()) {
        if let Ok(entry) = parse_entry(value, times) {
            prop_assert_eq!(entry.times, times);
            let frame = entry.frame();
            prop_assert!(Frame::decode(&frame.encode()).is_some());
        }
    }

    #[test]
    fn an_entry_reads_as_it_was_written(
        millis in any::<u64>(), sequence in any::<u64>(),
        fields in vec(("[a-z_]{0,8}", vec(any::<u8>(), 0..20)), 0..5),
    ) {
        let id = StreamId { millis, sequence };
        let cells = fields.iter().flat_map(|(name, value)| [bytes(name.as_bytes()), bytes(value)]);
        let row = Value::Array(vec![id.to_string().as_str().into(), Value::Array(cells.collect())]);
        let entry = parse_entry(row, 1).expect("an entry");
        prop_assert_eq!(entry.id, id);
        let read: Vec<_> = entry.fields.iter().map(|(name, value)| (name.clone(), value.to_vec())).collect();
        prop_assert_eq!(read, fields);
    }

    /// Line breaks in source and time become spaces; all else comes back byte for byte.
    #[test]
    fn a_frame_decodes_to_what_was_encoded(source in ".{0,9}", at in "(?s).{0,9}", event in vec(any::<u8>(), 0..40)) {
        let frame = Frame { source, received_at: at.replace('\n', " "), event: event.into() };
        prop_assert_eq!(Frame::decode(&frame.encode()), Some(frame));
    }

    #[test]
    fn bytes_that_are_a_frame_encode_to_themselves(damaged in vec(any::<u8>(), 0..30)) {
        let raw = Bytes::from([b"r".as_slice(), &damaged].concat());
        if let Some(frame) = Frame::decode(&raw) && std::str::from_utf8(&raw).is_ok() {
            prop_assert_eq!(frame.encode(), raw);
        }
    }
}
