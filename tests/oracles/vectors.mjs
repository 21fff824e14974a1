// Prints the vectors of all SDKs from npm. The clock stands still, so that the same SDKs print the same bytes.

import { readFileSync } from 'node:fs';
import { mock } from 'node:test';

import { NOW, vectors } from './cases.mjs';

mock.timers.enable({ apis: ['Date'], now: NOW * 1000 });

const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url)));
const made = [];
for (const group of ['payments', 'standard', 'messages', 'business', 'developers', 'fields']) {
  const { oracles } = await import(`./npm/${group}.mjs`);
  for (const oracle of oracles) {
    const sdk = `npm ${oracle.sdk}@${dependencies[oracle.sdk]}`;
    made.push(...(await vectors({ ...oracle, sdk })));
  }
}
console.log(JSON.stringify(made));
process.exit();
