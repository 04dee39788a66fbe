-- What a token's bearer may publish and read over MQTT: {publish, subscribe, deny}, lists of filters.
-- NULL where it names no topics.
ALTER TABLE token ADD COLUMN acl TEXT;
