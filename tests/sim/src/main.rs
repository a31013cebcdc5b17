//! `weir-sim`: runs seeds, proves that a seed is a run, proves that seeded bugs are seen, and says
//! which promise broke and how to see it break again.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_sim::run::quiet_panics();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match cli::Task::parse(&args) {
        Ok(task) => {
            if task.run() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(2)
        }
    }
}
