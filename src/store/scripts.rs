//! The Lua scripts, each with the shared prelude in front, ready to be called by their hash.

use std::sync::LazyLock;

use fred::types::scripts::Script;

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        /// One script per file in `lua/`; each file's header says what goes in and what comes out.
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)+
        }

        /// All scripts, compiled into the binary.
        pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
            $($name: Script::from_lua(concat!(
                include_str!("lua/prelude.lua"),
                include_str!(concat!("lua/", stringify!($name), ".lua")),
            )),)+
        });
    };
}

scripts!(
    alone, audit, bury, census, claim, delivered, failed, fetch, finish, groups, heard, heartbeat, held, leave,
    obituaries, orphans, overflowed, parked, refused, reinject, remove, replay, retain, settle, snapshot, suspend,
    trim, wake,
);

/// The registry's script: its key is not a partition's, so it has no prelude.
pub(super) static REGISTER: LazyLock<Script> = LazyLock::new(|| Script::from_lua(include_str!("lua/register.lua")));
