//! Who is calling: HTTP authentication on the server's side. Filled in next.
