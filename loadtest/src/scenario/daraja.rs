//! M-Pesa's Daraja for a daemon that is tried by hand.

use super::{Error, Verdict};
use crate::args::Daraja;
use crate::daraja::{self, Front};
use lastmile_daraja::Behaviour;
use tokio::net::TcpListener;

/// Serves until it is interrupted.
pub(super) async fn run(args: &Daraja) -> Result<Verdict, Error> {
    let open = |source| Error::Open { what: "Daraja's port", source };
    let listener = TcpListener::bind(args.listen).await.map_err(open)?;
    let at = listener.local_addr().map_err(open)?;
    let behaviour = if args.hostile { Behaviour::hostile() } else { Behaviour::kind() };
    println!("{}", daraja::configuration(at));
    let front = Front::new(args.seed, behaviour);
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = front.serve(listener) => {}
    }
    let taken = front.taken();
    println!("# {} payments, {} shillings", taken.len(), taken.iter().sum::<u64>());
    Ok(Verdict::Done)
}
