//! The `mailrobin` command: parse, build the runtime, call, map to an exit code.

use std::process::ExitCode;

use mailrobin::cli::{self, Exit};

fn main() -> ExitCode {
    let Exit(code) = match cli::parse() {
        Ok(cli) => match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => {
                let exit = runtime.block_on(cli.run());
                // A read of standard input that nobody ends must not hold the process.
                runtime.shutdown_background();
                exit
            }
            Err(_) => Exit::TROUBLE,
        },
        Err(exit) => exit,
    };
    ExitCode::from(code)
}
