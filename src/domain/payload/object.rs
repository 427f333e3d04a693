//! An object on its way to conformance: its members under the names and in the forms that the schema knows, and
//! everything else where the schema leaves room for it.
//!
//! The schemas close every object but `Oem`, whose members are objects, one a vendor. So members that they don't know,
//! and the originals of those that had to be changed for less, go into `Oem` → `Holdfast` → `Received`: nothing that
//! hardware said is lost, and what it wrote where it belongs stays there.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::super::json::{members_of, quoted};
use super::super::schema::{Form, Member, Mended, find, is_annotation, is_oem_name, mend};

/// The member of `Oem` that is ours.
const HOLDFAST: &str = "Holdfast";

/// An object that conforms.
#[derive(Debug, Default, Clone)]
pub(super) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Members of `Oem` that may stay there.
    oem: Vec<(String, &'a str)>,
    /// What had no place.
    received: Vec<(String, &'a str)>,
    /// Of these, what had none in `Oem`.
    received_oem: Vec<(String, &'a str)>,
    /// What Holdfast says itself: name and JSON.
    own: Vec<(&'static str, String)>,
}

impl<'a> Object<'a> {
    /// Reads the JSON of an object; members for which `skip` holds are left out.
    pub(super) fn read(text: &'a str, table: &'static [Member], skip: impl Fn(&str) -> bool) -> Self {
        let mut object = Self::default();
        let all = last_of_each(text, skip);
        // As the filters have it: what is written last counts, however the name is spelt.
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for (at, (name, _)) in all.iter().enumerate() {
            counts.extend(known_as(table, name).map(|(place, _)| (place, at)));
        }
        for (at, (name, value)) in all.into_iter().enumerate() {
            match known_as(table, &name) {
                Some((place, member)) if counts.get(&place) == Some(&at) => object.place(member, name, value),
                None if is_annotation(&name) => object.members.push((Cow::Owned(name), Cow::Borrowed(value.get()))),
                _ => object.received.push((name, value.get())),
            }
        }
        object
    }

    /// What stood where an object should.
    pub(super) fn of_something_else(name: &str, text: &'a str) -> Self {
        Self {
            received: vec![(name.to_owned(), text)],
            ..Self::default()
        }
    }

    fn place(&mut self, member: &'static Member, name: String, value: &'a RawValue) {
        if member.form == Form::Oem && value.get().starts_with('{') {
            for (name, value) in last_of_each(value.get(), |_| false) {
                let fits = !is_oem_name(&name) || value.get().starts_with('{');
                let list = if fits { &mut self.oem } else { &mut self.received_oem };
                list.push((name, value.get()));
            }
        } else if member.fits(value) {
            self.members
                .push((Cow::Borrowed(member.name), Cow::Borrowed(value.get())));
        } else {
            let (text, keep) = match mend(member.form, value) {
                Mended::Same(text) => (Some(text), false),
                Mended::Less(text) => (Some(text), true),
                Mended::Nothing => (None, false),
                Mended::Misplaced => (None, true),
            };
            self.members
                .extend(text.map(|text| (Cow::Borrowed(member.name), Cow::Owned(text))));
            if keep {
                self.received.push((name, value.get()));
            }
        }
    }

    /// A member's JSON.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, text)| text.as_ref())
    }

    /// Sets a member to this JSON.
    pub(super) fn set(&mut self, name: &'static str, text: impl Into<Cow<'a, str>>) {
        match self.members.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = text.into(),
            None => self.members.push((Cow::Borrowed(name), text.into())),
        }
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, name: &str) {
        self.members.retain(|(known, _)| known != name);
    }

    /// Keeps something that has no place in the object.
    pub(super) fn keep(&mut self, name: &str, text: &'a str) {
        self.received.push((name.to_owned(), text));
    }

    /// Adds something of our own, in `Oem`.
    pub(super) fn tell(&mut self, name: &'static str, text: String) {
        self.own.push((name, text));
    }

    /// Writes the object; `list` is one more member, name and JSON.
    pub(super) fn write(&self, out: &mut String, list: impl FnOnce(&mut String)) {
        out.push('{');
        for (name, text) in &self.members {
            write_member(out, name, text);
        }
        list(out);
        self.write_oem(out);
        if out.ends_with(',') {
            out.pop();
        }
        out.push('}');
    }

    fn write_oem(&self, out: &mut String) {
        let says_own = !(self.received.is_empty() && self.received_oem.is_empty() && self.own.is_empty());
        if self.oem.is_empty() && !says_own {
            return;
        }
        let is_ours = |name: &str| says_own && name == HOLDFAST;
        out.push_str(r#""Oem":{"#);
        for (name, text) in self.oem.iter().filter(|(name, _)| !is_ours(name)) {
            write_member(out, name, text);
        }
        if says_own {
            let displaced = self.oem.iter().filter(|(name, _)| is_ours(name));
            let displaced: Vec<_> = self.received_oem.iter().chain(displaced).collect();
            out.push_str(r#""Holdfast":{"#);
            self.own.iter().for_each(|(name, text)| write_member(out, name, text));
            if !(self.received.is_empty() && displaced.is_empty()) {
                out.push_str(r#""Received":{"#);
                self.received
                    .iter()
                    .for_each(|(name, text)| write_member(out, name, text));
                if !displaced.is_empty() {
                    out.push_str(r#""Oem":{"#);
                    displaced.iter().for_each(|(name, text)| write_member(out, name, text));
                    close(out);
                }
                close(out);
            }
            close(out);
        }
        close(out);
    }
}

/// Each member with a comma behind it; [`close`] takes the last one away.
fn write_member(out: &mut String, name: &str, text: &str) {
    out.push_str(&quoted(name));
    out.push(':');
    out.push_str(text);
    out.push(',');
}

fn close(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push_str("},");
}

/// The member that a name means: in any case, but for annotations.
fn known_as(table: &'static [Member], name: &str) -> Option<(usize, &'static Member)> {
    find(table, name).or_else(|| {
        let mut places = table.iter().enumerate();
        places.find(|(_, member)| member.name.eq_ignore_ascii_case(name) && !is_annotation(name))
    })
}

/// The members of an object in order; of those with one name the last, as nearly every reader has it.
fn last_of_each(text: &str, skip: impl Fn(&str) -> bool) -> Vec<(String, &RawValue)> {
    let mut all: Vec<Option<(String, &RawValue)>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    // What is no object has no members; everything here was read as JSON before.
    let _read = members_of(text, |name, value| {
        if skip(name) {
            return;
        }
        if let Some(before) = places
            .insert(name.to_owned(), all.len())
            .and_then(|place| all.get_mut(place))
        {
            *before = None;
        }
        all.push(Some((name.to_owned(), value)));
    });
    all.into_iter().flatten().collect()
}
