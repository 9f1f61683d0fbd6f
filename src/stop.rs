//! Giving up a long computation: it asks between its steps whether anybody still waits for it.

use std::fmt;

/// Asks whether a computation is to stop.
#[derive(Clone, Copy)]
pub struct Stop<'a>(Option<&'a (dyn Fn() -> bool + Sync)>);

/// The computation was stopped: there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before it was done")]
pub struct Stopped;

impl<'a> Stop<'a> {
    /// Lets it go on to its end.
    pub const NEVER: Stop<'static> = Stop(None);

    /// Stops it as soon as `asked` says so.
    pub fn when(asked: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self(Some(asked))
    }

    /// Ends the computation, by `?`, where it is to stop.
    ///
    /// # Errors
    /// When it is to stop.
    pub fn check(self) -> Result<(), Stopped> {
        if self.0.is_some_and(|asked| asked()) { Err(Stopped) } else { Ok(()) }
    }
}

impl fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.0.map(|asked| asked())).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::analysis::analyse_unless;
    use crate::testing::Script;
    use crate::topology::Overrides;

    #[test]
    fn an_analysis_asks_between_all_its_passes_and_ends_where_it_is_told_to() {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "10.0.0.9:4000", "10.0.0.1:80", 100);
        let app = script.connection(1_000, "10.0.0.1:5000", "10.0.0.2:8000", 500);
        script.request(user, 2_000, "GET", "/", &[], "");
        script.request(app, 3_000, "GET", "/", &[], "");
        script.response(app, 4_000, 200, 20);
        script.response(user, 5_000, 200, 20);
        let facts = script.finish();
        let (asked, end) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let ask = || asked.fetch_add(1, Ordering::Relaxed) + 1 >= end.load(Ordering::Relaxed);
        let analyse =
            || analyse_unless(vec![facts.clone()], Vec::new(), &Overrides::default(), Stop::when(&ask));
        assert_eq!(analyse().map(|analysis| analysis.topology.exchanges.len()), Ok(2));
        let passes = asked.load(Ordering::Relaxed);
        assert!(passes > 30, "a pass over all exchanges lies between two of {passes}");
        for at in 1..=passes {
            asked.store(0, Ordering::Relaxed);
            end.store(at, Ordering::Relaxed);
            assert_eq!(analyse().map(|_| ()), Err(Stopped));
            assert_eq!(asked.load(Ordering::Relaxed), at);
        }
    }
}
