"""The clinical table: class, age, sex, site, scanner and session of the patients behind the images."""
