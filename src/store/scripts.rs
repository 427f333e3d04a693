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
    obituaries, orphans, overflowed, parked, pulse, refused, reinject, remove, replay, retain, settle, snapshot,
    suspend, trim, wake,
);

macro_rules! bare {
    ($($(#[$about:meta])* $name:ident = $file:literal;)+) => {
        $(
            $(#[$about])*
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::from_lua(include_str!($file)));
        )+
    };
}

// Their keys are not a partition's, so they have no prelude.
bare!(
    /// The registry's script, and that of every hash with a version.
    REGISTER = "lua/register.lua";
    /// Looks up who logs in.
    LOGIN = "lua/login.lua";
    /// Counts a wrong password.
    LOGIN_FAILED = "lua/login_failed.lua";
    /// Stores a new session.
    SESSION_OPEN = "lua/session_open.lua";
    /// Looks up a session.
    SESSION_USE = "lua/session_use.lua";
    /// Ends a session.
    SESSION_CLOSE = "lua/session_close.lua";
    /// All sessions.
    SESSION_LIST = "lua/session_list.lua";
    /// Tells that a pod serves its event streams.
    STREAM_BEAT = "lua/stream_beat.lua";
    /// The newest entry behind another.
    STREAM_NEWS = "lua/stream_news.lua";
);
