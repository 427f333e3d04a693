//! How many events a second intake takes: of each source, and of all together. Off unless set.
//!
//! Asked with the head of a request, before anything of its body is read.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config;
use crate::domain::rate::{Rate, Used};

/// Sources that are remembered, at most: names are the client's choice and must not eat the memory.
const SOURCES: usize = 10_000;

/// The allowances, and how much of them is used up.
#[derive(Debug)]
pub(super) struct Limits {
    all: Option<Rate>,
    source: Option<Rate>,
    began: Instant,
    used: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    all: Used,
    sources: HashMap<String, Used>,
}

impl Limits {
    /// Nothing used up.
    pub(super) fn new(settings: &config::Intake) -> Self {
        Self {
            all: Rate::per_second(settings.rate),
            source: Rate::per_second(settings.rate_per_source),
            began: Instant::now(),
            used: Mutex::default(),
        }
    }

    /// Lets one event of a source through.
    ///
    /// # Errors
    /// How long until one is let through.
    pub(super) fn admit(&self, source: &str) -> Result<(), Duration> {
        if self.all.is_none() && self.source.is_none() {
            return Ok(());
        }
        self.admit_at(source, self.began.elapsed())
    }

    fn admit_at(&self, source: &str, now: Duration) -> Result<(), Duration> {
        let mut books = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // The source first: one that sends too much uses up nothing of what all share.
        if let Some(rate) = self.source {
            rate.admit(books.of(source, now), now)?;
        }
        match self.all {
            Some(rate) => rate.admit(&mut books.all, now),
            None => Ok(()),
        }
    }
}

impl Books {
    fn of(&mut self, source: &str, now: Duration) -> &mut Used {
        if self.sources.len() >= SOURCES && !self.sources.contains_key(source) {
            self.sources.retain(|_, used| !used.is_none(now));
            if self.sources.len() >= SOURCES {
                // More names at once than anybody has hardware: those that came before are forgotten.
                self.sources.clear();
            }
        }
        self.sources.entry(source.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: u32, rate_per_source: u32) -> Limits {
        Limits::new(&config::Intake {
            rate,
            rate_per_source,
            ..config::Intake::default()
        })
    }

    #[test]
    fn one_source_takes_nothing_from_another_and_all_have_a_bound() {
        let limits = limits(3, 2);
        let admitted = |source: &str, second: u64| {
            let at = Duration::from_secs(second);
            (0..1_000).filter(|_| limits.admit_at(source, at).is_ok()).count()
        };
        assert_eq!(admitted("loud", 0), 20);
        assert_eq!(admitted("quiet", 0), 10, "what is left of thirty for all");
        assert_eq!((admitted("loud", 1), admitted("quiet", 1)), (2, 1));
        let wait = limits.admit_at("loud", Duration::from_secs(1)).expect_err("too much");
        assert_eq!(wait, Duration::from_millis(500));
    }

    #[test]
    fn names_that_are_made_up_eat_no_memory() {
        let limits = limits(0, 1);
        for n in 0..3 * SOURCES {
            assert!(limits.admit(&format!("s{n}")).is_ok());
        }
        let books = limits.used.lock().expect("not poisoned");
        assert!(books.sources.len() <= SOURCES);
    }
}
