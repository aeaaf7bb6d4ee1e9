/// Kinds of Linux resources: what they look like in the kernel, and what makes them so.
///
/// The only room that knows both the model and the kernel.
