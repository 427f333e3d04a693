//! Who holds much, on one line: what an operator looks for first when memory runs short.

use crate::cli::text::{number, size};
use crate::report::Holder;

/// From so many deliveries or bytes on a holder is worth a line.
const MUCH: (u64, u64) = (1_000, 1 << 20);

/// Those that hold much, on one line; `None` when nobody does.
pub(super) fn line(holders: &[Holder]) -> Option<String> {
    let much = |holder: &&Holder| holder.parked >= MUCH.0 || holder.parked_bytes_estimate >= MUCH.1;
    let parts: Vec<String> = holders
        .iter()
        .filter(much)
        .map(|holder| {
            let (parked, bytes) = (number(holder.parked), size(holder.parked_bytes_estimate));
            format!("{} {parked} parked (about {bytes} of events)", holder.id)
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_hold_much_are_named() {
        let holder = |id: &str, parked, bytes| Holder {
            id: id.to_owned(),
            parked,
            parked_bytes_estimate: bytes,
        };
        let holders = [
            holder("many", 1_203_000, 1_181_200_000),
            holder("big", 5, 9 << 20),
            holder("few", 3, 2_000),
        ];
        assert_eq!(
            line(&holders).as_deref(),
            Some("many 1,203,000 parked (about 1.1 GiB of events); big 5 parked (about 9.0 MiB of events)")
        );
        assert_eq!(line(&holders[2..]), None, "three deliveries are not much");
    }
}
