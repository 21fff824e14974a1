//! A panic ends the attempt as a trap, which by itself says nothing. So its message, file and line are logged first.

use crate::host;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

/// Safe to call at every event: an instance, or a test process, gets one hook.
pub(crate) fn report_to_log() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            log(panic);
            previous(panic);
        }));
    });
}

fn log(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a panic without a message");
    let Some(place) = panic.location() else {
        return host::log(1, &format!("panicked: {message}"), &[]);
    };
    let (file, line) = (place.file(), place.line());
    let fields = [("file".to_owned(), file.to_owned()), ("line".to_owned(), line.to_string())];
    host::log(1, &format!("panicked at {file}:{line}: {message}"), &fields);
}
