-- Who is connected and has something to be said of it when its end is not seen: that it left, where
-- `is_told`, and its will. Gone with the client's last words; what is still here at a start was
-- connected when the daemon vanished. Numbers are sessions', kept or not.
CREATE TABLE mqtt_connection (
    number       INTEGER PRIMARY KEY,
    tenant       TEXT NOT NULL,
    owner        TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    is_told      INTEGER NOT NULL,
    will         TEXT,
    will_delay_s INTEGER
) STRICT;
