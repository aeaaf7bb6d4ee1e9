// What the build says of itself.
#pragma once

/// The commit that was built, as the variable NSM_AGENT_COMMIT of the build named it: 7 to 40 hexadecimal digits, followed by
/// "-modified" when files differed from it. Empty: nobody said.
const char *_Nonnull cb_commit(void);
