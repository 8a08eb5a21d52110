import { client } from '../clients/autobahn.mjs';
import { runTable } from '../table.mjs';

runTable(client);
