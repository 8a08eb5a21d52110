import { client } from '../clients/wampy.mjs';
import { runTable } from '../table.mjs';

runTable(client);
