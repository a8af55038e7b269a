/** Writes the dashboard that is committed and shipped. `npm test` fails where it differs from what this gives. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeDashboard } from './dashboard.ts';

writeFileSync(join(import.meta.dirname, 'dashboards', 'relayledger.json'), writeDashboard());
