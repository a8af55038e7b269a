import type { DatabaseSync } from 'node:sqlite';

/**
 * Does all of `work` or nothing of it. What fails at the very end, as where the disk is full, leaves no transaction
 * open either: everything after it would be part of that, and never be written.
 */
export function transaction(db: DatabaseSync, work: () => void): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    work();
    db.exec('COMMIT');
  } catch (error) {
    // A full disk may have rolled it back already; doing it twice would hide what happened.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
