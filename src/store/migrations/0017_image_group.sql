-- The group of boards that an image is for, where it is for one.
ALTER TABLE image ADD COLUMN device_group TEXT;
