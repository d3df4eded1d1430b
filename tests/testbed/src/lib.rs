//! Starts what a test or the demo needs: a Kubernetes control plane, the local AWS, the operator.
//!
//! - [`setup`] builds and installs them once, into the cache; everything below calls it by itself.
//! - [`ControlPlane`]: a real kube-apiserver and etcd; [`Kubectl`] for its users.
//! - [`Emulator`]: ministack; [`Aws`] makes calls to it, as a person would in the console.
//! - [`Operator`]: the `multiregion` program.
//! - [`wait`]: until something holds. [`ports`], [`paths`], [`process`]: what those stand on.
//!
//! Whatever is started ends when its value is dropped, and with this process.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use testbed::{ControlPlane, Emulator, EmulatorOptions, Operator, OperatorOptions};
//!
//! let control_plane = ControlPlane::shared().await?;
//! let emulator = Emulator::start(EmulatorOptions::default()).await?;
//! let kubeconfig = control_plane.service_account_kubeconfig("multiregion-system", "multiregion").await?;
//! let options = OperatorOptions::emulated("target/debug/multiregion", &kubeconfig, &emulator.url(), "111122223333")?;
//! let mut operator = Operator::start(&options)?;
//! operator.wait_ready(std::time::Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

mod aws;
mod control_plane;
mod emulator;
mod http;
mod kubectl;
mod operator;
pub mod paths;
pub mod ports;
pub mod process;
pub mod setup;
pub mod wait;

pub use aws::{Account, Aws};
pub use control_plane::ControlPlane;
pub use emulator::{Emulator, EmulatorOptions, SECRET_ACCESS_KEY};
pub use kubectl::{Kubectl, Output};
pub use operator::{Operator, OperatorOptions, metrics_text};
