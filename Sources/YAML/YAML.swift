/// Text to a tree that knows its lines, and back. Knows nothing of what the text means.
///
/// libyaml does the parsing; none of its types leave this room.
