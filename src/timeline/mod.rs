//! Exchanges and a view to lanes, rows and items in screen space, by pure functions.
