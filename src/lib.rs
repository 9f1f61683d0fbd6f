//! hopscope shows where, in a chain of HTTP hops, a request really failed.
//!
//! Data flows one way: [`capture`] reads packets from files, [`tcp`] makes connections of them, [`http`]
//! messages and exchanges; [`topology`] finds the hops and aligns their clocks, [`correlate`] follows each
//! request across them, [`diagnose`] says what failed where and why. [`analysis`] bundles these and answers
//! the questions that window, report and exports ask. [`session`] is what the user made of it, [`timeline`]
//! its geometry, [`export`] its outward forms; `app` is the window and [`cli`] the command line.

pub mod analysis;
#[cfg(feature = "gui")]
pub mod app;
pub mod capture;
pub mod cli;
pub mod correlate;
pub mod diagnose;
pub mod export;
pub mod http;
pub mod load;
pub mod logs;
pub mod session;
pub mod stop;
pub mod tcp;
#[doc(hidden)]
pub mod testing;
pub mod timeline;
pub mod topology;
