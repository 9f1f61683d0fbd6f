//! The command line: arguments to a report or to the window.
