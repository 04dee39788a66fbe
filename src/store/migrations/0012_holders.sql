-- A device holds every name of its equipment, and lets go of all of them at once.
CREATE INDEX equipment_holder_device ON equipment_holder (tenant, device);
