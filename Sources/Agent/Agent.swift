/// The agent put together: the kernel's network, what is declared, the one event loop, and the daemon's life from start to stop.
///
/// Imports all rooms below. What it is to do comes from the command line, which imports it.
